"""Provenance of all tensors, by storage: the call that made each, and its present value."""

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

WRITTEN = 10  # maximum length of a number written by a person; longer ones were computed
LONGEST = 64  # maximum length of a chain of views


@final
class TensorHistories:
    """The histories of all tensors by storage, and the clock that orders all recorded calls."""

    def __init__(self) -> None:
        self.by_storage: dict[int, History] = {}
        self.heirs: dict[int, int] = {}  # storage -> the storage that replaced it
        self.randomness = RandomnessDetector()
        self._clock = 0

    def tick(self) -> int:
        """Advances the clock and returns its time."""
        self._clock += 1
        return self._clock

    def begin(
        self, tensor: Tensor, made: RecordedCall | None, *, random: bool | None = None
    ) -> History:
        """Starts the history of a tensor that a call made, or None if the call was not seen."""
        if random is None:
            random = self.randomness.foreign() if made is None else self.gives_random(made)
        history = History(memory_of(tensor), geometry_of(tensor), made, made, random)
        self.by_storage[storage_of(tensor)] = history
        return history

    def known(self, tensor: Tensor) -> History:
        """Returns the history of a tensor; starts one if the tensor has not been seen before."""
        return self.by_storage.get(storage_of(tensor)) or self.begin(tensor, None)

    def part(self, tensor: Tensor, history: History) -> ViewSteps | None:
        """Returns the calls that lead from the tensor a storage was made as to a view of it; None
        if unknown."""
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
        """Returns whether the values of a tensor may depend on random numbers."""
        history = self.by_storage.get(storage_of(tensor))
        return self.randomness.foreign() if history is None else history.random

    def gives_random(self, value: Any) -> bool:
        """Returns whether a value, or the result of a call, may depend on random numbers."""
        if isinstance(value, RecordedTensor):
            return self.is_random(value.tensor)
        if isinstance(value, RecordedCall):
            inner = leaves((value.args, value.kwargs), subclasses=True)
            return draws_anew(value.target, value.kwargs) or any(map(self.gives_random, inner))
        return isinstance(value, float) and len(repr(value)) > WRITTEN and self.randomness.foreign()

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> RecordedCall:
        """Returns a record of a call, with the present values of its tensor arguments."""
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if str(kwargs.get("device")) in ("meta", str(torch.get_default_device())):
            del kwargs["device"]  # an ambient device, which is not part of the model
        if name_of(function) == "__get__":  # tensor.T
            name = function.__self__.__name__
            return RecordedCall(
                "builtins:getattr", getattr, (self._now(args[0]), name), {}, self.tick()
            )
        here, named = self._now(tuple(args)), self._now(kwargs)
        return RecordedCall(target_of(function), function, here, named, self.tick())

    def _now(self, value: Any) -> Any:
        """Returns arguments with tensors replaced by their present values, in plain containers."""
        return rebuild(value, self._leaf_now)

    def _leaf_now(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return self.value(leaf)
        plain = next((kind for kind in (tuple, list, dict) if isinstance(leaf, kind)), None)
        return leaf if plain is None else self._now(plain(leaf))

    def value(self, tensor: Tensor) -> RecordedCall | RecordedTensor:
        """Returns the present value of a tensor; for a view, as calls on the value of its base."""
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
