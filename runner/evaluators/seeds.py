"""Random numbers of a training, which depend on a seed and the epoch only."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy
import torch

from runner.space.sample import generator


def seed_model(seed: int, epoch: int) -> None:
    """Seeds all global generators (of dropout, for example) for one epoch of one model."""
    if torch.accelerator.is_available():
        torch.manual_seed(torch_seed(seed, epoch))
    else:  # equivalent, without 1.4 ms spent on accelerators that are absent
        torch.default_generator.manual_seed(torch_seed(seed, epoch))
    seed_others(seed, epoch)


def seed_others(seed: int, epoch: int) -> None:
    """Seeds the global generators of Python and numpy."""
    rng = generator(seed, "epoch", epoch)
    rng.getrandbits(31)  # skips torch's seed
    numpy.random.seed(rng.getrandbits(31))
    random.seed(rng.getrandbits(31))


def torch_seed(seed: int, epoch: int) -> int:
    """Returns the seed that `seed_model` gives torch."""
    return generator(seed, "epoch", epoch).getrandbits(31)


def seed_data(seed: int, epoch: int) -> tuple[torch.Generator, torch.Generator]:
    """Returns generators for the order of the examples of an epoch, and for their augmentation."""
    rng = generator(seed, "data", epoch)
    order, noise = torch.Generator(), torch.Generator()
    return order.manual_seed(rng.getrandbits(31)), noise.manual_seed(rng.getrandbits(31))


@final
class ForeignGenerators:
    """The random states of Python and numpy for models that take turns: each has its own.

    Few models use such numbers. Whether one does is determined in its first turn of an epoch; for
    the others, nothing is saved or restored afterwards.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.used = False  # whether any model has used some
        self._seeds = seeds
        self._epoch = 0
        self._states: dict[int, tuple[Any, ...] | None] = {}

    def begin(self, epoch: int) -> None:
        """Begins an epoch."""
        self._epoch, self._states = epoch, {}

    @contextmanager
    def of(self, model: int) -> Iterator[None]:
        """Runs the block under a model's random states."""
        if model not in self._states:
            seed_others(self._seeds[model], self._epoch)
            before = _states()
            yield
            after = _states()
            drew = after != before
            self.used |= drew
            self._states[model] = after if drew else None
        elif (state := self._states[model]) is not None:
            _restore(state)
            yield
            self._states[model] = _states()
        else:
            yield


def _states() -> tuple[Any, ...]:
    """Returns the states of Python's and numpy's global generators, in comparable form."""
    kind, keys, *rest = numpy.random.get_state(legacy=True)
    return random.getstate(), kind, numpy.asarray(keys).tobytes(), rest


def _restore(states: tuple[Any, ...]) -> None:
    python, kind, keys, rest = states
    random.setstate(python)
    numpy.random.set_state((kind, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))
