"""What is known of the memory of all tensors: how each was made, what it holds now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor

from runner.nested import leaves, rebuild
from runner.nn.recording.initial_values import RecordedCall
from runner.nn.recording.randomness import RandomnessDetector, draws_anew
from runner.nn.recording.tensor_history import (
    History,
    RecordedTensor,
    ViewSteps,
    geometry_of,
    memory_of,
    storage_of,
)
from runner.nn.recording.torch_functions import name_of, target_of, unseen

WRITTEN = 10  # characters of a number that a person wrote; longer ones were computed
LONGEST = 64  # views of views


@final
class TensorHistories:
    """Histories by the identity of the memory they are of, and the order of all that is kept."""

    def __init__(self) -> None:
        self.by_storage: dict[int, History] = {}
        self.heirs: dict[int, int] = {}  # of a storage that another has taken the place of: which
        self.randomness = RandomnessDetector()
        self._clock = 0

    def tick(self) -> int:
        """The next place in the order of all that is recorded."""
        self._clock += 1
        return self._clock

    def begin(
        self, tensor: Tensor, made: RecordedCall | None, *, random: bool | None = None
    ) -> History:
        """Open the history of a tensor, made by a call, or None where that was not seen."""
        if random is None:
            random = self.randomness.foreign() if made is None else self.gives_random(made)
        history = History(memory_of(tensor), geometry_of(tensor), made, made, random)
        self.by_storage[storage_of(tensor)] = history
        return history

    def known(self, tensor: Tensor) -> History:
        """The history of a tensor, opened now if nobody has seen it before."""
        return self.by_storage.get(storage_of(tensor)) or self.begin(tensor, None)

    def part(self, tensor: Tensor, history: History) -> ViewSteps | None:
        """What leads from the whole of a storage to a view of it."""
        steps: ViewSteps = ()
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
        history = self.by_storage.get(storage_of(tensor))
        return self.randomness.foreign() if history is None else history.random

    def gives_random(self, value: Any) -> bool:
        """Whether what a call gives depends on random numbers, or may."""
        if isinstance(value, RecordedTensor):
            return self.is_random(value.tensor)
        if isinstance(value, RecordedCall):
            inner = leaves((value.args, value.kwargs), subclasses=True)
            return draws_anew(value.target, value.kwargs) or any(map(self.gives_random, inner))
        return isinstance(value, float) and len(repr(value)) > WRITTEN and self.randomness.foreign()

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> RecordedCall:
        """A call, with what is known of the tensors it was given."""
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if str(kwargs.get("device")) in ("meta", str(torch.get_default_device())):
            del kwargs["device"]  # an ambient one, which has no place in a model
        if name_of(function) == "__get__":  # tensor.T
            name = function.__self__.__name__
            return RecordedCall(
                "builtins:getattr", getattr, (self._now(args[0]), name), {}, self.tick()
            )
        here, named = self._now(tuple(args)), self._now(kwargs)
        return RecordedCall(target_of(function), function, here, named, self.tick())

    def _now(self, value: Any) -> Any:
        """Arguments, with what is known of the tensors in them; containers become plain ones."""
        return rebuild(value, self._leaf_now)

    def _leaf_now(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return self.value(leaf)
        plain = next((kind for kind in (tuple, list, dict) if isinstance(leaf, kind)), None)
        return leaf if plain is None else self._now(plain(leaf))

    def value(self, tensor: Tensor) -> RecordedCall | RecordedTensor:
        """What a tensor holds now."""
        history = self.by_storage.get(storage_of(tensor))
        geometry = geometry_of(tensor)
        if history is None or geometry == history.geometry:
            made = history and history.now
            return RecordedTensor(storage_of(tensor), made, tensor, self.tick())
        if geometry in history.views:
            steps, base = history.views[geometry]
            value = self.value(base)
            for step in steps:
                value = replace(step, args=(value, *step.args))
            return value
        return history.seen.get(geometry) or RecordedCall("", unseen, (), {}, self.tick())
