"""The tape of a run on meta tensors: events, the tensors they involve, and their call stacks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, final

import torch
from torch import Tensor

from runner.fusion.program.program import ProgramArgument, Var
from runner.graph.interpreter.meta_calls import META, Outcome, with_tensors
from runner.graph.ir.argument import Ref
from runner.nested import leaves, rebuild
from runner.nn.recording.tensor_history import tensors_in

UnitCall = tuple[str, str]  # path of a unit, and its method
What = Literal["module", "opaque", "function", "method", "tensor", "value", "enter", "exit"]


class Unfollowed(Exception):
    """A unit call that cannot be traced and has to be opaque, with the reason as message. `call` is
    None outside of any unit."""

    def __init__(self, call: UnitCall | None, why: str) -> None:
        super().__init__(why)
        self.call = call


@final
@dataclass(slots=True)
class TapeEvent:
    """An event of a run: a step, a value computed by Python, or entry or exit of a unit call."""

    where: tuple[UnitCall, ...]  # the stack of unit calls, outermost first
    what: What
    target: str = ""
    args: tuple[ProgramArgument, ...] = ()
    kwargs: Mapping[str, ProgramArgument] = field(default_factory=dict)
    result: Any = None
    pure: bool = False


@final
@dataclass(slots=True)
class _Storage:
    """A storage that tensors may share. A change through one tensor invalidates the others."""

    owned: bool  # by the model: a parameter or buffer
    changes: int = 0


@final
@dataclass(slots=True)
class _TapeTensor:
    """A tensor of the run, and its current Var."""

    tensor: Tensor  # kept alive so that its id is not reused
    var: Var
    storage: _Storage
    changes: int  # of the storage, when the Var was bound


@final
class Tape:
    """The events of a run in order; its tensors are Vars, numbered by first appearance."""

    def __init__(self) -> None:
        self.events: list[TapeEvent] = []
        self.specs: list[tuple[torch.Size, torch.dtype]] = []  # by the number of a Var
        self.where: tuple[UnitCall, ...] = ()
        self._known: dict[int, _TapeTensor] = {}

    @contextmanager
    def entered(self, call: UnitCall) -> Iterator[None]:
        """Runs the block inside a unit call, with events for its entry and its exit."""
        above = self.where
        self.where = (*above, call)
        try:
            self.events.append(TapeEvent(self.where, "enter"))
            yield
            self.events.append(TapeEvent(self.where, "exit"))
        finally:
            self.where = above

    def unfollowed(self, why: str) -> NoReturn:
        """Raises Unfollowed for the innermost unit call."""
        raise Unfollowed(self.where[-1] if self.where else None, why)

    # Tensors

    def add(self, tensor: Tensor, *, shares: Tensor | None = None, owned: bool = False) -> Var:
        """Adds a tensor, and returns its new Var; `shares` is a tensor with the same storage."""
        storage = _Storage(owned) if shares is None else self._known[id(shares)].storage
        var = Var(len(self.specs))
        self.specs.append((tensor.shape, tensor.dtype))
        self._known[id(tensor)] = _TapeTensor(tensor, var, storage, storage.changes)
        return var

    def add_owned(self, path: str, tensor: Tensor) -> None:
        """Adds a parameter or buffer, and the step that reads it."""
        var = self.add(tensor, owned=True)
        self.events.append(TapeEvent(self.where, "tensor", path, result=var, pure=True))

    def knows(self, tensor: Tensor) -> bool:
        """Returns whether a tensor is on the tape."""
        return id(tensor) in self._known

    def var(self, tensor: Tensor) -> Var:
        """Returns the current Var of a tensor. Raises Unfollowed if unknown or invalidated."""
        known = self._known.get(id(tensor))
        if known is None:
            self.unfollowed("A tensor was not made by a recorded step.")
        if known.changes != known.storage.changes:
            self.unfollowed("A tensor is used after its storage was changed through another one.")
        return known.var

    def usable(self, thing: Any) -> Any:
        """Returns the thing itself. Raises Unfollowed if a tensor in it has no current Var."""
        for tensor in tensors_in(thing):
            self.var(tensor)
        return thing

    def rebind(self, tensor: Tensor, result: Tensor) -> None:
        """Binds a tensor that was changed in place to the result of its functional step."""
        known, given = self._known[id(tensor)], self._known[id(result)]
        if known.storage.owned:
            self.unfollowed("The code changes a parameter or buffer in place.")
        if given.tensor.dtype != tensor.dtype or given.tensor.shape != tensor.shape:
            self.unfollowed("The out-of-place variant of a call returns another shape or dtype.")
        known.storage.changes += 1
        known.var = given.var
        for one in (known, given):
            one.changes = one.storage.changes

    def spoil(self, tensor: Tensor) -> None:
        """Invalidates a tensor and all others that share its storage."""
        known = self._known[id(tensor)]
        if known.storage.owned:
            self.unfollowed("The code changes a parameter or buffer in place.")
        known.storage.changes += 1

    # Arguments

    def argument(self, thing: Any) -> ProgramArgument:
        """Converts a value to an argument of a step. Raises Unfollowed if it has no such form."""
        return rebuild(thing, self._leaf)

    def _leaf(self, thing: Any) -> ProgramArgument:
        kind = type(thing)
        if kind is Tensor:
            return self.var(thing)
        if kind in _PLAIN:
            return thing
        if kind is torch.Size or kind.__module__ == "torch.return_types":
            return tuple([self.argument(item) for item in thing])
        if kind in _TORCH:
            return Ref.of_torch(thing)
        return self.unfollowed(f"{thing!r:.80} cannot be an argument of a step.")

    # Steps

    def step(
        self,
        what: What,
        target: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        outcome: Outcome,
        *,
        pure: bool,
    ) -> Any:
        """Records a step with its outcome, and returns the result, with tensors in it."""
        given = [*tensors_in((tuple(args), dict(kwargs)))]
        arguments = self.argument(tuple(args)), self.argument(dict(kwargs))
        for tensor, place in zip(tensors_in(outcome.result), outcome.shares, strict=True):
            self.add(tensor, shares=given[place] if place >= 0 else None)
        result = self._result(outcome.result)
        self.events.append(TapeEvent(self.where, what, target, *arguments, result, pure))
        return outcome.result

    def _result(self, thing: Any) -> Any:
        """Returns the result of a step, with Vars in place of tensors."""
        if isinstance(thing, Tensor):
            return self._known[id(thing)].var
        if hasattr(thing, "_fields"):
            self.unfollowed(f"A step returns a named tuple, a {type(thing).__name__}.")
        if isinstance(thing, list):
            return [self._result(item) for item in thing]
        if isinstance(thing, tuple):
            return tuple([self._result(item) for item in thing])
        if isinstance(thing, dict) and all(type(name) in _NAMES for name in thing):
            return {name: self._result(item) for name, item in thing.items()}
        return None if thing is None else self.unfollowed(f"A step returns {thing!r:.80}.")

    def copied(self, thing: Any, tensors: Sequence[Tensor]) -> Any:
        """Returns a thing with clones of some tensors, for a step that changes them; the originals
        are invalidated."""
        copies: dict[int, Tensor] = {}
        for tensor in tensors:
            if id(tensor) not in copies:
                outcome = Outcome(torch.empty_like(tensor, device=META), (-1,))
                copies[id(tensor)] = self.step("method", "clone", [tensor], {}, outcome, pure=True)
                self.spoil(tensor)
        return with_tensors(thing, lambda tensor: copies.get(id(tensor), tensor))

    def value(self, target: str, args: Sequence[Any]) -> None:
        """Records the numbers that a computation in Python involves. `Merge` verifies that they are
        constant or proportional to the batch size, as the computation requires."""
        found = leaves(args, subclasses=True)
        numbers = tuple(leaf for leaf in found if isinstance(leaf, int | float))
        if numbers:
            self.events.append(TapeEvent(self.where, "value", target, numbers))


_PLAIN = frozenset([type(None), bool, int, float, complex, str, type(...)])
_NAMES = frozenset([bool, int, float, str])
_TORCH = frozenset([torch.dtype, torch.layout, torch.memory_format])
