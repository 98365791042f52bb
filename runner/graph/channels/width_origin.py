"""Width origin: traces the size of a dimension back to the numbers that set it, by trial."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from runner.errors import GraphError
from runner.graph.channels.fit import SHELL
from runner.graph.channels.layers import called_with, numbers, output_numbers, repair_step
from runner.graph.channels.layers import other as another
from runner.graph.channels.recorded_run import RecordedStep
from runner.graph.channels.resizing_interpreter import ResizingInterpreter
from runner.graph.ir.argument_sizes import Place, leaves, put, resized
from runner.graph.ir.unit import Unit
from runner.graph.ir.width_source import Source
from runner.nn.recording.tensor_history import tensors_in

TensorDimension = tuple[Tensor, int]  # a dimension of a tensor


@final
@dataclass(frozen=True)
class Influence:
    """A way to change a dimension: other dimensions together, and sources already found."""

    dimensions: Sequence[TensorDimension]
    sources: Sequence[Source]


class NoSource(GraphError):
    """Raised for a width that no number of the model sets, or none that could be changed."""


@final
class Sources:
    """The sources of the widths of the tensors of one run."""

    def __init__(self, run: ResizingInterpreter) -> None:
        self.run = run

    def of(self, tensor: Tensor, dim: int) -> list[Source]:
        """Returns all sources to change for a dimension of a tensor to change. Raises NoSource."""
        found: dict[Source, None] = {}
        self._collect([(tensor, dim)], set(), found)
        return list(found)

    def of_layer(self, unit: Unit) -> list[Source]:
        """Returns the number that sets the output channels of a layer; empty if its input does, and
        for layers without state, whose numbers are kernel sizes and the like."""
        if not self.run.is_layer(unit) or not self.run.current(unit).state_dict():
            return []
        for step in self.run.recorded.steps:
            if step.unit is unit and not step.tensor:
                for tensor in tensors_in(step.result):
                    for dim in range(tensor.dim()):
                        if made := self._made(step, tensor, dim):
                            return [made]
        return []

    def _collect(
        self, todo: list[TensorDimension], seen: set[tuple[int, int]], found: dict[Source, None]
    ) -> None:
        """Traces back from all dimensions; of several alternatives, takes the first that leads to
        a source."""
        while todo:
            tensor, dim = todo.pop()
            if (id(tensor), dim) in seen:
                continue
            seen.add((id(tensor), dim))
            step = self.run.recorded.maker(tensor)
            if step is None:
                raise NoSource(
                    f"dimension {dim} of {_text(tensor)} is an input of the model, or of unknown "
                    "origin"
                )
            if made := self._made(step, tensor, dim):
                found[made] = None
                continue
            ways = [*self._ways(step, tensor, dim)]
            if not ways and step.unit is None and (made := self._written(step, tensor, dim)):
                ways = [Influence([], [made])]
            if not ways:
                raise NoSource(
                    f"{step.name}: the origin of dimension {dim} of {_text(tensor)} is unknown"
                )
            if len(ways) == 1:
                todo += ways[0].dimensions
                found.update(dict.fromkeys(ways[0].sources))
                continue
            found.update(self._first(ways, seen))

    def _first(self, ways: Sequence[Influence], seen: set[tuple[int, int]]) -> dict[Source, None]:
        """Returns the sources of the first alternative that has any."""
        for way in ways:
            inner, below = {*seen}, dict.fromkeys(way.sources)
            try:
                self._collect([*way.dimensions], inner, below)
            except NoSource as error:
                first = error
                continue
            seen |= inner
            return below
        raise first

    def _made(self, step: RecordedStep, tensor: Tensor, dim: int) -> Source | None:
        """Returns the source of a dimension of a step's result, if the step itself sets it."""
        if step.tensor:
            return self._held(step, dim)
        if step.unit is not None:
            return self._layer(step, tensor, dim)
        given = leaves(step.args, step.kwargs)
        if any(isinstance(value, Tensor) for value in given.values()):
            return None
        return self._written(step, tensor, dim)

    def _written(self, step: RecordedStep, tensor: Tensor, dim: int) -> Source | None:
        """Returns a number among the arguments of a call that sets the size of its result, if it
        can be changed."""
        if step.node[2] == SHELL:
            return None
        for place, value in leaves(step.args, step.kwargs).items():
            if type(value) is int and value == tensor.shape[dim] and value > 1:
                others = ({place: another(value)}, {place: value // 2})
                given = [put(step.args, step.kwargs, new) for new in others]
                if any(self._gives(step, *other, tensor, dim) for other in given):
                    path, function, at = step.node
                    return Source("number", path, function, (at, *place), value)
        return None

    def _held(self, step: RecordedStep, dim: int) -> Source | None:
        unit, name, size = step.unit, step.tensor, step.result.shape[dim]
        assert unit is not None
        path = self.run.paths[unit]
        if self.run.is_layer(unit):
            assert unit.call is not None
            for place, value in numbers(unit.call).items():
                call = called_with(unit.call, {place: another(value)})
                held: Any = self.run.make(unit, call)
                for part in name.split("."):
                    held = getattr(held, part)
                if _differs_in(held, step.result, dim):
                    return Source("layer", path, "", place, value)
            return None
        if name not in {**unit.parameters, **unit.buffers}:
            return None
        return Source("tensor", path, name, (dim,), size)

    def _layer(self, step: RecordedStep, tensor: Tensor, dim: int) -> Source | None:
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        made = output_numbers(self.run.make, unit, call, step.args, step.kwargs)
        index = _index(step, tensor)
        for place, _, result in made:
            now = list(tensors_in(result))
            if index < len(now) and _differs_in(now[index], tensor, dim):
                return Source("layer", self.run.paths[unit], "", place, numbers(call)[place])
        return None

    def _ways(self, step: RecordedStep, tensor: Tensor, dim: int) -> Iterator[Influence]:
        """Yields the input dimensions of a step that change a dimension of its result, those that
        change together as one alternative. The same dimension comes first.

        If only shrinking the input changes it, as in `x[:, :40]`, a number sets it, too.
        """
        given = leaves(step.args, step.kwargs)
        tensors = [(place, t) for place, t in given.items() if isinstance(t, Tensor)]
        tried = [(place, t, j) for place, t in tensors for j in range(t.dim()) if t.shape[j] > 1]
        size = tensor.shape[dim]
        tried.sort(key=lambda entry: (entry[2] != dim, entry[1].shape[entry[2]] != size))
        seen: set[tuple[Place, int]] = set()
        for place, t, j in tried:
            if (place, j) in seen:
                continue
            dimensions = self._affecting(step, place, j, 2 * t.shape[j], tensor, dim)
            sources: list[Source] = []
            if not dimensions and t.shape[j] % 2 == 0:
                dimensions = self._affecting(step, place, j, t.shape[j] // 2, tensor, dim)
                written = (
                    self._written(step, tensor, dim) if dimensions and step.unit is None else None
                )
                sources = [written] if written else []
            if dimensions:
                seen |= {*dimensions}
                yield Influence([(given[at], d) for at, d in dimensions], sources)

    def _affecting(
        self, step: RecordedStep, place: Place, j: int, size: int, tensor: Tensor, dim: int
    ) -> list[tuple[Place, int]]:
        """Returns the input dimensions that change together when one is resized; empty if that
        does not change the dimension of the result."""
        given = leaves(step.args, step.kwargs)
        changed = {place: resized(given[place], {j: size})}
        try:
            done, _ = repair_step(self.run.make, step, *put(step.args, step.kwargs, changed))
        except Exception:
            return []
        now = list(tensors_in(done.result))
        index = _index(step, tensor)
        if index >= len(now) or _size(now[index], dim) in (None, tensor.shape[dim]):
            return []
        return [(place, j), *((at, d) for at, dims in done.operands.items() for d in dims)]

    def _gives(self, step: RecordedStep, args: Any, kwargs: Any, tensor: Tensor, dim: int) -> bool:
        try:
            now = list(tensors_in(step.run(args, kwargs)))
        except Exception:
            return False
        return _differs_in(now[_index(step, tensor)], tensor, dim)


def _index(step: RecordedStep, tensor: Tensor) -> int:
    return next(i for i, made in enumerate(tensors_in(step.result)) if made is tensor)


def _size(tensor: Tensor, dim: int) -> int | None:
    return tensor.shape[dim] if dim < tensor.dim() else None


def _differs_in(now: Any, before: Tensor, dim: int) -> bool:
    """Returns whether two tensors differ in the size of one dimension and no other."""
    if not isinstance(now, Tensor) or now.dim() != before.dim():
        return False
    pairs = zip(now.shape, before.shape, strict=True)
    return [i for i, (a, b) in enumerate(pairs) if a != b] == [dim]


def _text(tensor: Tensor) -> str:
    return f"a tensor {[*tensor.shape]}"
