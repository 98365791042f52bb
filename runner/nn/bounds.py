"""Types for the arguments of a space, with bounds that are checked before a search.

`def __init__(self, widths: Sequence[nn.Positive])` refuses `space.widths=[0]`. To everything but
the check of a config, they are plain numbers.
"""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Le, Len, Lt, Predicate

MOST = 2**31 - 1


def is_odd(size: int) -> bool:
    return size % 2 == 1


Positive = Annotated[int, Ge(1), Le(MOST)]  # such as a number of channels, or a stride
Repeats = Annotated[int, Ge(1), Le(1000)]  # of layers, which are built one by one
AnyRepeats = Annotated[int, Ge(0), Le(1000)]  # of layers that may be left out altogether
Fraction = Annotated[float, Ge(0), Lt(1)]  # such as a dropout
OddSize = Annotated[int, Ge(1), Le(99), Predicate(is_odd)]  # such as a kernel with a centre
InputShape = Annotated[Sequence[Positive], Len(1)]  # of one input, without the batch
ImageShape = Annotated[Sequence[Positive], Len(3, 3)]  # (C, H, W)
