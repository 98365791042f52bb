"""Detects whether tensors made while a model is built may depend on random numbers."""

import random
import sys
from collections.abc import Mapping
from typing import Any, final

import torch

from runner.operators import is_random

READS = {"item", "tolist", "numpy", "__array__", "__float__", "__int__", "__bool__", "__index__",
         "__complex__"}  # fmt: skip


@final
class RandomnessDetector:
    """A detector of random numbers that may reach a tensor unnoticed, not through torch's
    functions."""

    def __init__(self) -> None:
        self._before = _foreign_states()
        self._read_out = False

    def read(self) -> None:
        """Records that values of a random tensor were read: any later tensor may contain them."""
        self._read_out = True

    def foreign(self) -> bool:
        """Returns whether a tensor that no recorded function of torch made may be random."""
        return self._read_out or _foreign_states() != self._before


def draws_anew(target: str, kwargs: Mapping[str, Any]) -> bool:
    """Returns whether a call draws from the default generator of torch; with a generator of its
    own, it does not depend on the global seed."""
    generator = kwargs.get("generator")
    return is_random(target) and (generator is None or generator is torch.default_generator)


def _foreign_states() -> tuple[Any, ...]:
    """Returns the states of the generators of Python and NumPy, which change with each draw."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return hash(random.getstate()), None
    kind, keys, *rest = numpy.random.get_state()
    return hash(random.getstate()), (kind, keys.tobytes(), *rest)
