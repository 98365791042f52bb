"""What is known of the memory of all tensors: how each was made, what it holds now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor

from runner.nested import leaves, rebuild
from runner.nn.recording.initial_values import Made
from runner.nn.recording.randomness import Chance, draws_anew
from runner.nn.recording.tensor_history import (
    History,
    Seen,
    Steps,
    geometry_of,
    memory_of,
    storage_of,
)
from runner.nn.recording.torch_functions import name_of, target_of, unseen

WRITTEN = 10  # characters of a number that a person wrote; longer ones were computed
LONGEST = 64  # views of views


@final
class Ledger:
    """Histories by the identity of the memory they are of, and the order of all that is kept."""

    def __init__(self) -> None:
        self.histories: dict[int, History] = {}
        self.heirs: dict[int, int] = {}  # of a storage that another has taken the place of: which
        self.chance = Chance()
        self._clock = 0

    def tick(self) -> int:
        """The next place in the order of all that is recorded."""
        self._clock += 1
        return self._clock

    def begin(self, tensor: Tensor, made: Made | None, *, random: bool | None = None) -> History:
        """Open the history of a tensor, made by a call, or None where that was not seen."""
        if random is None:
            random = self.chance.foreign() if made is None else self.gives_random(made)
        history = History(memory_of(tensor), geometry_of(tensor), made, made, random)
        self.histories[storage_of(tensor)] = history
        return history

    def known(self, tensor: Tensor) -> History:
        """The history of a tensor, opened now if nobody has seen it before."""
        return self.histories.get(storage_of(tensor)) or self.begin(tensor, None)

    def part(self, tensor: Tensor, history: History) -> Steps | None:
        """What leads from the whole of a storage to a view of it."""
        steps: Steps = ()
        for _ in range(LONGEST):
            geometry = geometry_of(tensor)
            if geometry == history.geometry:
                return steps
            if geometry not in history.views:
                return None
            more, tensor = history.views[geometry]
            steps = (*more, *steps)
        return None

    def is_random(self, tensor: Tensor) -> bool:
        """Whether what a tensor holds depends on random numbers, or may."""
        history = self.histories.get(storage_of(tensor))
        return self.chance.foreign() if history is None else history.random

    def gives_random(self, value: Any) -> bool:
        """Whether what a call gives depends on random numbers, or may."""
        if isinstance(value, Seen):
            return self.is_random(value.tensor)
        if isinstance(value, Made):
            inner = leaves((value.args, value.kwargs), subclasses=True)
            return draws_anew(value.target, value.kwargs) or any(map(self.gives_random, inner))
        return isinstance(value, float) and len(repr(value)) > WRITTEN and self.chance.foreign()

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Made:
        """A call, with what is known of the tensors it was given."""
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if str(kwargs.get("device")) in ("meta", str(torch.get_default_device())):
            del kwargs["device"]  # an ambient one, which has no place in a model
        if name_of(function) == "__get__":  # tensor.T
            name = function.__self__.__name__
            return Made("builtins:getattr", getattr, (self._now(args[0]), name), {}, self.tick())
        here, named = self._now(tuple(args)), self._now(kwargs)
        return Made(target_of(function), function, here, named, self.tick())

    def _now(self, value: Any) -> Any:
        """Arguments, with what is known of the tensors in them; containers become plain ones."""
        return rebuild(value, self._leaf_now)

    def _leaf_now(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return self.value(leaf)
        plain = next((kind for kind in (tuple, list, dict) if isinstance(leaf, kind)), None)
        return leaf if plain is None else self._now(plain(leaf))

    def value(self, tensor: Tensor) -> Made | Seen:
        """What a tensor holds now."""
        history = self.histories.get(storage_of(tensor))
        geometry = geometry_of(tensor)
        if history is None or geometry == history.geometry:
            made = history and history.now
            return Seen(storage_of(tensor), made, tensor, self.tick())
        if geometry in history.views:
            steps, base = history.views[geometry]
            value = self.value(base)
            for step in steps:
                value = replace(step, args=(value, *step.args))
            return value
        return history.seen.get(geometry) or Made("", unseen, (), {}, self.tick())
