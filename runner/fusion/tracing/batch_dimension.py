"""Two recordings, of batches of two sizes, as one program: what follows the size is a Batch."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NoReturn, final

import torch

from runner.fusion.program import BatchSize, Shape, Step, StepKind, TensorSpec, Var, variables
from runner.fusion.tracing.tape import Tape, TapeEvent, Unfollowed, UnitCall

CallStack = tuple[UnitCall, ...]
ROOT: UnitCall = ("", "forward")


class _Differ(Exception):
    """Two things that no batch size explains."""


@final
class Merge:
    """Holds two tapes against each other. Raises Unfollowed for the innermost call of a unit inside
    which they differ."""

    def __init__(self, sizes: tuple[int, int], tapes: tuple[Tape, Tape]) -> None:
        self.sizes = sizes
        self.tapes = tapes
        self.specs: dict[Var, TensorSpec] = {Var(0): self.spec(Var(0))}
        self.pure: list[bool] = []  # of each step, whether it may be left out

    def steps(self) -> list[Step]:
        """All steps, with the specs of what they give in `specs`."""
        steps = []
        for one, other in zip_longest(*(tape.events for tape in self.tapes)):
            if not _alike(one, other):
                self.differ(_shared(one, other), "What is done depends on the number of examples.")
            try:
                if one.what == "value":
                    self.check(one.target, one.args, other.args)
                elif one.what not in ("enter", "exit"):
                    steps.append(self.step(one, other))
                    self.pure.append(one.pure)
            except _Differ as problem:
                self.differ(one.where, str(problem))
        return steps

    def result(self, one: Any, other: Any) -> Any:
        """What both give in the end. Where that differs, the whole model has to be opaque."""
        try:
            return self.both(one, other)
        except _Differ as problem:
            raise Unfollowed(ROOT, str(problem)) from problem

    @staticmethod
    def differ(where: CallStack, why: str) -> NoReturn:
        """The innermost of these calls has to be opaque."""
        raise Unfollowed(where[-1] if where else None, why)

    def step(self, one: TapeEvent, other: TapeEvent) -> Step:
        """A step of both."""
        args = self.both(one.args, other.args)
        kwargs = self.both(one.kwargs, other.kwargs)
        result = self.both(one.result, other.result)
        for var in variables(result):
            self.specs[var] = self.spec(var)
        is_opaque = one.what == "opaque"
        kind: StepKind = "module" if is_opaque else one.what  # type: ignore[assignment]
        return Step(kind, one.target, args, kwargs, result, is_opaque)

    def spec(self, var: Var) -> TensorSpec:
        """What both know of a tensor."""
        (shape, dtype), (other, other_dtype) = (tape.specs[var.number] for tape in self.tapes)
        if len(shape) != len(other) or dtype != other_dtype:
            raise _Differ(f"The shapes {[*shape]} and {[*other]} do not follow from one another.")
        found: Shape = tuple(map(self.number, shape, other))
        return TensorSpec(found, _dtype(dtype))

    def number(self, one: Any, other: Any) -> Any:
        """A number of both; ints that differ must be in proportion to the batches."""
        if one == other and type(one) is type(other):
            return one
        if type(one) is int and type(other) is int:
            times, rest = divmod(one, self.sizes[0])
            if not rest and times * self.sizes[1] == other:
                return BatchSize(times)
        if one != one and other != other:  # not a number
            return one
        raise _Differ(f"{one!r:.40} becomes {other!r:.40} with another number of examples.")

    def both(self, one: Any, other: Any) -> Any:
        """An argument of both."""
        kind = type(one)
        is_other = kind is not type(other)
        if is_other or (kind in (tuple, list, dict) and len(one) != len(other)):
            raise _Differ(f"{one!r:.40} becomes {other!r:.40} with another number of examples.")
        if kind is tuple or kind is list:
            return kind([self.both(*pair) for pair in zip(one, other, strict=True)])
        if kind is dict:
            return {name: self.both(one[name], other.get(name)) for name in one}
        if kind is slice:
            parts = (one.start, one.stop, one.step), (other.start, other.stop, other.step)
            return slice(*self.both(*parts))
        return self.number(one, other)

    # What Python works out must be in proportion for every batch, not for these two alone

    def check(self, target: str, one: Sequence[Any], other: Sequence[Any]) -> None:
        """Numbers that something was worked out of."""
        if one == other:
            return
        name = target.rpartition(":")[2]
        if name in _COMPARES and len(one) == len(other):
            self.compared(one, other)
        elif name not in _LINEAR and not (name in _DIVIDES and _exact(one) and _exact(other)):
            raise _Differ(f"{target} depends on the number of examples.")
        elif not all(float(number).is_integer() for number in (*one, *other)):
            raise _Differ(f"{target} has fractions of the number of examples.")

    def compared(self, one: Sequence[Any], other: Sequence[Any]) -> None:
        """Each number must be held against one that grows alike, or against zero."""
        numbers = list(map(self.number, one, other))
        half = len(numbers) // 2
        if len(numbers) % 2 == 0:
            for left, right in zip(numbers[:half], numbers[half:], strict=True):
                if isinstance(left, BatchSize) != isinstance(right, BatchSize) and 0 not in (
                    left,
                    right,
                ):
                    raise _Differ("The number of examples is compared.")


def _exact(numbers: Sequence[Any]) -> bool:
    """Whether the first is divided by the second without a rest."""
    return len(numbers) == 2 and numbers[1] != 0 and numbers[0] % numbers[1] == 0


def _alike(one: TapeEvent | None, other: TapeEvent | None) -> bool:
    """Whether two events are of one kind, at one place."""
    if one is None or other is None:
        return False
    return (one.what, one.target, one.where) == (other.what, other.target, other.where)


def _shared(one: TapeEvent | None, other: TapeEvent | None) -> CallStack:
    """The calls that two events are both in."""
    calls: list[UnitCall] = []
    for mine, yours in zip(one.where if one else (), other.where if other else (), strict=False):
        if mine != yours:
            break
        calls.append(mine)
    return tuple(calls)


def needed(steps: Sequence[Step], pure: Sequence[bool], result: Any) -> Iterator[Step]:
    """The steps without those that nobody needs."""
    used = set(variables(result))
    kept = []
    for step, is_pure in zip(reversed(steps), reversed(pure), strict=True):
        if not is_pure or not used.isdisjoint(step.outputs):
            kept.append(step)
            used.update(step.inputs)
    yield from reversed(kept)


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_LINEAR = frozenset(["add", "sub", "mul", "iadd", "isub", "imul", "neg", "pos", "int", "float",
                     "size", "Size"])  # fmt: skip
_DIVIDES = frozenset(["floordiv", "truediv", "ifloordiv", "itruediv"])
_COMPARES = frozenset(["eq", "ne", "lt", "le", "gt", "ge"])
