"""Random numbers of a training: they come from a seed and the epoch, and nothing else."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy
import torch

from runner.space.sample import generator


def seed_model(seed: int, epoch: int) -> None:
    """Seed all global random numbers, such as those of dropout, for one epoch of one model."""
    if torch.accelerator.is_available():
        torch.manual_seed(torch_seed(seed, epoch))
    else:  # the same without 1.4 ms of notes for accelerators that may come
        torch.default_generator.manual_seed(torch_seed(seed, epoch))
    seed_others(seed, epoch)


def seed_others(seed: int, epoch: int) -> None:
    """The same for those that are not torch's."""
    rng = generator(seed, "epoch", epoch)
    rng.getrandbits(31)  # torch's
    numpy.random.seed(rng.getrandbits(31))
    random.seed(rng.getrandbits(31))


def torch_seed(seed: int, epoch: int) -> int:
    """What `seed_model` seeds torch with."""
    return generator(seed, "epoch", epoch).getrandbits(31)


def seed_data(seed: int, epoch: int) -> tuple[torch.Generator, torch.Generator]:
    """Generators of the order of the examples of one epoch, and of their augmentation."""
    rng = generator(seed, "data", epoch)
    order, noise = torch.Generator(), torch.Generator()
    return order.manual_seed(rng.getrandbits(31)), noise.manual_seed(rng.getrandbits(31))


@final
class OtherNumbers:
    """The random numbers of Python and numpy for models that take turns: each has its own.

    Hardly any model draws such numbers. Whether one does is looked at in its first turn of an
    epoch; for those that do not, nothing is done from there on.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.used = False  # whether any model was seen to draw some
        self._seeds = seeds
        self._epoch = 0
        self._states: dict[int, tuple[Any, ...] | None] = {}

    def begin(self, epoch: int) -> None:
        """Begin an epoch."""
        self._epoch, self._states = epoch, {}

    @contextmanager
    def of(self, model: int) -> Iterator[None]:
        """It is a model's turn."""
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
    """Returns the states of the global generators of Python and numpy, to be compared and
    restored."""
    kind, keys, *rest = numpy.random.get_state(legacy=True)
    return random.getstate(), kind, numpy.asarray(keys).tobytes(), rest


def _restore(states: tuple[Any, ...]) -> None:
    python, kind, keys, rest = states
    random.setstate(python)
    numpy.random.set_state((kind, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))
