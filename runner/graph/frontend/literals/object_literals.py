"""Objects of user classes as expressions that make them again, with all of their state."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, final

import torch

from runner.errors import GraphError
from runner.graph.frontend.literals.object_state import same_state, state_of
from runner.graph.frontend.literals.references import parameters_of, reference
from runner.graph.ir.node import Argument
from runner.graph.ir.unit import Call, Ref
from runner.graph.ir.with_state import WITH_STATE

GUESSES = 64  # attempts to guess constructor arguments
_CONTENTS: tuple[Any, ...] = (
    dict, list, tuple, set, frozenset, str, bytes, int, float, complex,
)  # fmt: skip


class Writes(Protocol):
    """A writer of constants, as needed for objects."""

    def write(self, value: Any) -> Argument:
        """Returns the constant for a part of an object. Raises GraphError if there is none."""

    def evaluated(self, argument: Argument) -> Any:
        """Returns the object that a constant makes."""


def object_literal(value: Any, literals: Writes) -> Call:
    """Returns the call that makes an object again: a constructor call, followed by setting
    attributes if needed. Raises GraphError if there is none."""
    with torch.random.fork_rng(devices=[]):
        return _LiteralSearch(value, literals).call()


@final
class _LiteralSearch:
    """The search for a call that makes one object again."""

    def __init__(self, value: Any, literals: Writes) -> None:
        self._value = value
        self._kind = type(value)
        self._literals = literals
        self._problem = ""

    def call(self) -> Call:
        Ref(reference(self._kind))
        calls = [*self._calls()]
        for call in itertools.chain(calls, filter(None, map(self._with_state, calls))):
            if same_state(self._value, self._made(call)):
                return call
        name = f"{self._kind.__module__}.{self._kind.__qualname__}"
        why = self._problem or "its state is unknown"
        raise GraphError(f"A {name} has no literal: {why.rstrip('.')}.")

    def _calls(self) -> Iterator[Call]:
        """Yields calls that may make the object, or part of its state."""
        target = reference(self._kind)
        for state in self._arguments():
            if (call := self._written(target, (), state)) is not None:
                yield call
        for base in _CONTENTS:
            if isinstance(self._value, base):
                plain = base(self._value)
                args = () if not plain and base in (dict, list, tuple, set, frozenset) else (plain,)
                if (call := self._written(target, args, {})) is not None:
                    yield call
        yield from self._by_copy_protocol(target)

    def _arguments(self) -> Iterator[Mapping[str, Any]]:
        """Yields candidates for the arguments of the constructor, taken from attributes."""
        state = state_of(self._value)
        if dataclasses.is_dataclass(self._value):
            fields = [f for f in dataclasses.fields(self._value) if f.init]
            if all(field.name in state for field in fields):
                yield {field.name: state[field.name] for field in fields}
        parameters = parameters_of(self._kind).values()
        plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if any(p.kind is p.POSITIONAL_ONLY for p in plain):
            return
        if len(plain) < len([*parameters]) and not plain:
            yield state if all(name.isidentifier() for name in state) else {}
        known = {p.name: state[p.name] for p in plain if p.name in state}
        missing = [p for p in plain if p.name not in known]
        yield from self._guesses(known, [p.name for p in missing], [*state.values()])
        if all(p.default is not p.empty for p in missing):
            yield known

    def _guesses(
        self, known: Mapping[str, Any], missing: list[str], values: list[Any]
    ) -> Iterator[Mapping[str, Any]]:
        """Yields arguments that make the object: parameters without an attribute of their name
        are tried with the values of all attributes."""
        guesses = itertools.product(values, repeat=len(missing))
        for guess in itertools.islice(guesses, GUESSES):
            state = {**known, **dict(zip(missing, guess, strict=True))}
            try:
                made = self._kind(**state)
            except Exception:  # whatever a foreign constructor raises
                continue
            if same_state(self._value, made):
                yield state
                return

    def _by_copy_protocol(self, target: str) -> Iterator[Call]:
        """Yields the call by which `copy` makes the object."""
        try:
            reduced = self._value.__reduce_ex__(4)
        except Exception as error:  # copying may raise anything
            self._problem = self._problem or f"{error}"
            return
        if not isinstance(reduced, tuple):
            return  # the name of a global object
        function, args, *_ = reduced
        call = None
        if getattr(function, "__name__", "") == "__newobj__":
            call = self._written(f"{target}.__new__", args, {})
        elif callable(function):
            with suppress(GraphError):
                call = self._written(reference(function), args, {})
        if call is not None:
            yield call

    def _written(
        self, target: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Call | None:
        try:
            named = {name: self._literals.write(item) for name, item in kwargs.items()}
            return Call(target, tuple(map(self._literals.write, args)), named)
        except GraphError as error:
            self._problem = str(error)
            return None

    def _made(self, call: Call) -> Any:
        try:
            return self._literals.evaluated(call)
        except Exception:  # whatever a foreign constructor raises
            return None

    def _with_state(self, call: Call) -> Call | None:
        """Returns a call that also sets the attributes that another call does not set."""
        made = self._made(call)
        if type(made) is not self._kind:
            return None
        before, state = state_of(made), state_of(self._value)
        late = [name for name in state if not _is_same(before, name, state[name])]
        try:
            later = {name: self._literals.write(state[name]) for name in late}
        except GraphError as error:
            self._problem = str(error)
            return None
        return Call(WITH_STATE, (call, later))


def _is_same(state: Mapping[str, Any], name: str, value: Any) -> bool:
    return name in state and same_state(value, state[name])
