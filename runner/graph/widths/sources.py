"""Finds what sets the size of a tensor, by trying what changes it, back to where it was made."""

from collections.abc import Iterator, Sequence
from typing import Any, final

from torch import Tensor

from runner.errors import GraphError
from runner.graph.unit import Unit
from runner.graph.widths.fitting import Fitter
from runner.graph.widths.layers import called_with, fitted, numbers, output_numbers
from runner.graph.widths.layers import other as another
from runner.graph.widths.mending import mended
from runner.graph.widths.places import Change, Place, leaves, put, resized, tensors_in
from runner.graph.widths.source import Source
from runner.graph.widths.tape import Step

Spots = Sequence[tuple[Tensor, int]]  # dimensions of tensors


class NoSource(GraphError):
    """A width that nothing in the model sets, or nothing that could be changed."""


@final
class Sources:
    """What sets the widths of the tensors of one run."""

    def __init__(self, fitter: Fitter) -> None:
        self.fitter = fitter

    def of(self, tensor: Tensor, dim: int) -> list[Source]:
        """All that has to change for a dimension of a tensor to change. Raises NoSource."""
        found: dict[Source, None] = {}
        self._collect([(tensor, dim)], set(), found)
        return list(found)

    def of_layer(self, unit: Unit) -> list[Source]:
        """The number that sets how many channels a layer gives; nothing where its input does."""
        for step in self.fitter.tape.steps:
            if step.unit is unit and not step.tensor:
                for tensor in tensors_in(step.result):
                    for dim in range(tensor.dim()):
                        if made := self._made(step, tensor, dim):
                            return [made]
        return []

    def _collect(
        self, todo: list[tuple[Tensor, int]], seen: set[tuple[int, int]], found: dict[Source, None]
    ) -> None:
        """Go back from all spots; where one of several ways suffices, take the first that leads
        to a source."""
        while todo:
            tensor, dim = todo.pop()
            if (id(tensor), dim) in seen:
                continue
            seen.add((id(tensor), dim))
            step = self.fitter.tape.maker(tensor)
            if step is None:
                raise NoSource(
                    f"Dimension {dim} of {_text(tensor)} is what the model is given, or was made "
                    "where it cannot be followed"
                )
            if made := self._made(step, tensor, dim):
                found[made] = None
                continue
            ways = [*self._ways(step, tensor, dim)]
            if not ways and step.unit is None and (made := self._written(step, tensor, dim)):
                found[made] = None
                continue
            if not ways:
                raise NoSource(
                    f"{step.name}: what sets dimension {dim} of {_text(tensor)} is unknown"
                )
            if len(ways) == 1:
                todo += ways[0]
                continue
            found.update(self._first(ways, seen))

    def _first(self, ways: Sequence[Spots], seen: set[tuple[int, int]]) -> dict[Source, None]:
        """What one of several ways leads to."""
        for way in ways:
            inner, below = {*seen}, dict[Source, None]()
            try:
                self._collect([*way], inner, below)
            except NoSource as error:
                first = error
                continue
            seen |= inner
            return below
        raise first

    def _made(self, step: Step, tensor: Tensor, dim: int) -> Source | None:
        """What sets a dimension of what a step gives, if that is done there."""
        if step.tensor:
            return self._held(step, dim)
        if step.unit is not None:
            return self._layer(step, tensor, dim)
        given = leaves(step.args, step.kwargs)
        if any(isinstance(value, Tensor) for value in given.values()):
            return None
        return self._written(step, tensor, dim)

    def _written(self, step: Step, tensor: Tensor, dim: int) -> Source | None:
        """A number among the arguments of a call that is the size of what it gives."""
        for place, value in leaves(step.args, step.kwargs).items():
            if type(value) is int and value == tensor.shape[dim] and value > 1:
                args, kwargs = put(step.args, step.kwargs, {place: another(value)})
                if self._gives(step, args, kwargs, tensor, dim):
                    path, function, at = step.node
                    return Source("number", path, function, (at, *place), value)
        return None

    def _held(self, step: Step, dim: int) -> Source | None:
        unit, name, size = step.unit, step.tensor, step.result.shape[dim]
        assert unit is not None
        path = self.fitter.paths[unit]
        if self.fitter.is_layer(unit):
            assert unit.call is not None
            for place, value in numbers(unit.call).items():
                call = called_with(unit.call, {place: another(value)})
                held: Any = self.fitter.make(unit, call)
                for part in name.split("."):
                    held = getattr(held, part)
                if _differs_in(held, step.result, dim):
                    return Source("layer", path, "", place, value)
            return None
        if name not in {**unit.parameters, **unit.buffers}:
            return None
        return Source("tensor", path, name, (dim,), size)

    def _layer(self, step: Step, tensor: Tensor, dim: int) -> Source | None:
        unit, call = step.unit, step.call
        assert unit is not None and call is not None
        made = output_numbers(self.fitter.make, unit, call, step.args, step.kwargs)
        index = _index(step, tensor)
        for place, value, result in made:
            now = list(tensors_in(result))
            if index < len(now) and _differs_in(now[index], tensor, dim):
                return Source("layer", self.fitter.paths[unit], "", place, value)
        return None

    def _ways(self, step: Step, tensor: Tensor, dim: int) -> Iterator[Spots]:
        """Dimensions of what a step was given that change a dimension of what it gives; each way
        is of such as change together. The same dimension comes first."""
        given = leaves(step.args, step.kwargs)
        index = _index(step, tensor)
        tensors = [(place, t) for place, t in given.items() if isinstance(t, Tensor)]
        tried = [(place, t, j) for place, t in tensors for j in range(t.dim()) if t.shape[j] > 1]
        tried.sort(
            key=lambda entry: (entry[2] != dim, entry[1].shape[entry[2]] != tensor.shape[dim])
        )
        seen: set[tuple[Place, int]] = set()
        for place, t, j in tried:
            if (place, j) in seen:
                continue
            change = Change(t.shape[j], 2 * t.shape[j])
            args, kwargs = put(step.args, step.kwargs, {place: resized(t, {j: change.new})})
            try:
                done = mended(self._run(step), args, kwargs, step.before)
            except Exception:
                continue
            now = list(tensors_in(done.result))
            if index < len(now) and _size(now[index], dim) not in (None, tensor.shape[dim]):
                spots = [(t, j)]
                for other, dims in done.operands.items():
                    spots += [(given[other], d) for d in dims]
                    seen |= {(other, d) for d in dims}
                yield spots

    def _run(self, step: Step) -> Any:
        """What runs a step on other arguments: a layer is made to fit them."""
        unit, call = step.unit, step.call
        if unit is None or call is None:
            return step.run
        make, before = self.fitter.make, step.before.leaves
        return lambda args, kwargs: fitted(make, unit, call, args, kwargs, before, {}).result

    def _gives(self, step: Step, args: Any, kwargs: Any, tensor: Tensor, dim: int) -> bool:
        try:
            now = list(tensors_in(step.run(args, kwargs)))
        except Exception:
            return False
        return _differs_in(now[_index(step, tensor)], tensor, dim)


def _index(step: Step, tensor: Tensor) -> int:
    return next(i for i, made in enumerate(tensors_in(step.result)) if made is tensor)


def _size(tensor: Tensor, dim: int) -> int | None:
    return tensor.shape[dim] if dim < tensor.dim() else None


def _differs_in(now: Any, before: Tensor, dim: int) -> bool:
    """Whether two tensors differ in the size of one dimension and no other."""
    if not isinstance(now, Tensor) or now.dim() != before.dim():
        return False
    pairs = zip(now.shape, before.shape, strict=True)
    return [i for i, (a, b) in enumerate(pairs) if a != b] == [dim]


def _text(tensor: Tensor) -> str:
    return f"a tensor {[*tensor.shape]}"
