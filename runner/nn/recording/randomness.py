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
    """Looks out for random numbers that reach a tensor behind the back of torch's functions."""

    def __init__(self) -> None:
        self._before = _foreign_states()
        self._read_out = False

    def read(self) -> None:
        """Note that numbers of a random tensor were read out: any other may be made of them."""
        self._read_out = True

    def foreign(self) -> bool:
        """Whether a tensor that no function of torch was seen to make may be random."""
        return self._read_out or _foreign_states() != self._before


def draws_anew(target: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call draws numbers that follow from the seed of the program; those of a generator
    of its own do not."""
    generator = kwargs.get("generator")
    return is_random(target) and (generator is None or generator is torch.default_generator)


def _foreign_states() -> tuple[Any, ...]:
    """What tells whether Python's or NumPy's random numbers were drawn from."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return hash(random.getstate()), None
    kind, keys, *rest = numpy.random.get_state()
    return hash(random.getstate()), (kind, keys.tobytes(), *rest)
