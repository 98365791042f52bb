"""Batching dimension: merges tapes of two batch sizes; multiples of N become BatchSize."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NoReturn, final

from runner.fusion.program.program import (
    BatchSize,
    Shape,
    Step,
    StepKind,
    TensorSpec,
    Var,
    variables,
)
from runner.fusion.tracing.tape import Tape, TapeEvent, Unfollowed, UnitCall
from runner.python_operators import AUGMENTED, COMPARISONS

CallStack = tuple[UnitCall, ...]
ROOT: UnitCall = ("", "forward")


class _Differ(Exception):
    """Two values whose difference is not proportional to the batch size."""


@final
class Merge:
    """A merger of two tapes into steps. Raises Unfollowed for the innermost unit call in which they
    differ."""

    def __init__(self, sizes: tuple[int, int], tapes: tuple[Tape, Tape]) -> None:
        self.sizes = sizes
        self.tapes = tapes
        self.specs: dict[Var, TensorSpec] = {Var(0): self.spec(Var(0))}
        self.pure: list[bool] = []  # per step: True if it has no side effects

    def steps(self) -> list[Step]:
        """Returns all merged steps; adds the specs of their outputs to `specs`."""
        steps = []
        for one, other in zip_longest(*(tape.events for tape in self.tapes)):
            if not _alike(one, other):
                self.differ(_shared(one, other), "The operations depend on the number of examples.")
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
        """Returns the merged result. Raises Unfollowed for the model if the results differ."""
        try:
            return self.both(one, other)
        except _Differ as problem:
            raise Unfollowed(ROOT, str(problem)) from problem

    @staticmethod
    def differ(where: CallStack, why: str) -> NoReturn:
        """Raises Unfollowed for the innermost of these calls."""
        raise Unfollowed(where[-1] if where else None, why)

    def step(self, one: TapeEvent, other: TapeEvent) -> Step:
        """Returns the merged step of two events; adds the specs of its outputs."""
        args = self.both(one.args, other.args)
        kwargs = self.both(one.kwargs, other.kwargs)
        result = self.both(one.result, other.result)
        for var in variables(result):
            self.specs[var] = self.spec(var)
        is_opaque = one.what == "opaque"
        kind: StepKind = "module" if is_opaque else one.what  # type: ignore[assignment]
        return Step(kind, one.target, args, kwargs, result, is_opaque)

    def spec(self, var: Var) -> TensorSpec:
        """Returns the merged spec of a tensor. Raises _Differ if ranks or dtypes differ."""
        (shape, dtype), (other, other_dtype) = (tape.specs[var.number] for tape in self.tapes)
        if len(shape) != len(other) or dtype != other_dtype:
            raise _Differ(f"The shapes {[*shape]} and {[*other]} differ in rank, or in dtype.")
        found: Shape = tuple(map(self.number, shape, other))
        return TensorSpec(found, str(dtype).removeprefix("torch."))

    def number(self, one: Any, other: Any) -> Any:
        """Merges two scalars. Raises _Differ unless equal or proportional to the batch sizes."""
        if one == other and type(one) is type(other):
            return one
        if type(one) is int and type(other) is int:
            times, rest = divmod(one, self.sizes[0])
            if not rest and times * self.sizes[1] == other:
                return BatchSize(times)
        if one != one and other != other:  # not a number
            return one
        raise _Differ(f"{one!r:.40} becomes {other!r:.40} for another number of examples.")

    def both(self, one: Any, other: Any) -> Any:
        """Merges two arguments recursively. Raises _Differ if their structures differ."""
        kind = type(one)
        is_other = kind is not type(other)
        if is_other or (kind in (tuple, list, dict) and len(one) != len(other)):
            raise _Differ(f"{one!r:.40} becomes {other!r:.40} for another number of examples.")
        if kind is tuple or kind is list:
            return kind([self.both(*pair) for pair in zip(one, other, strict=True)])
        if kind is dict:
            return {name: self.both(one[name], other.get(name)) for name in one}
        if kind is slice:
            parts = (one.start, one.stop, one.step), (other.start, other.stop, other.step)
            return slice(*self.both(*parts))
        return self.number(one, other)

    # Python arithmetic must be proportional to every batch size, not just to the two recorded

    def check(self, target: str, one: Sequence[Any], other: Sequence[Any]) -> None:
        """Raises _Differ if an operation on these numbers may not be linear in the batch size."""
        if one == other:
            return
        name = target.rpartition(":")[2]
        name = AUGMENTED[name].name if name in AUGMENTED else name
        if name in _COMPARES and len(one) == len(other):
            self.compared(one, other)
        elif name not in _LINEAR and not (name in _DIVIDES and _exact(one) and _exact(other)):
            raise _Differ(f"{target} depends on the number of examples.")
        elif not all(float(number).is_integer() for number in (*one, *other)):
            raise _Differ(f"{target} computes with fractions of the number of examples.")

    def compared(self, one: Sequence[Any], other: Sequence[Any]) -> None:
        """Raises _Differ if a multiple of the batch size is compared with a nonzero constant."""
        numbers = list(map(self.number, one, other))
        half = len(numbers) // 2
        if len(numbers) % 2 == 0:
            for left, right in zip(numbers[:half], numbers[half:], strict=True):
                if isinstance(left, BatchSize) != isinstance(right, BatchSize) and 0 not in (
                    left,
                    right,
                ):
                    raise _Differ("The code compares the number of examples with a constant.")


def _exact(numbers: Sequence[Any]) -> bool:
    """Returns whether the first of two numbers is divisible by the second."""
    return len(numbers) == 2 and numbers[1] != 0 and numbers[0] % numbers[1] == 0


def _alike(one: TapeEvent | None, other: TapeEvent | None) -> bool:
    """Returns whether two events have the same kind, target and call stack."""
    if one is None or other is None:
        return False
    return (one.what, one.target, one.where) == (other.what, other.target, other.where)


def _shared(one: TapeEvent | None, other: TapeEvent | None) -> CallStack:
    """Returns the common prefix of the call stacks of two events."""
    calls: list[UnitCall] = []
    for mine, yours in zip(one.where if one else (), other.where if other else (), strict=False):
        if mine != yours:
            break
        calls.append(mine)
    return tuple(calls)


def needed(steps: Sequence[Step], pure: Sequence[bool], result: Any) -> Iterator[Step]:
    """Yields the live steps: those with side effects, and those that others or the result use."""
    used = set(variables(result))
    kept = []
    for step, is_pure in zip(reversed(steps), reversed(pure), strict=True):
        if not is_pure or not used.isdisjoint(step.outputs):
            kept.append(step)
            used.update(step.inputs)
    yield from reversed(kept)


_LINEAR = frozenset(["add", "sub", "mul", "neg", "pos", "int", "float", "size", "Size"])
_DIVIDES = frozenset(["floordiv", "truediv"])
_COMPARES = frozenset(found.name for found in COMPARISONS)
