"""Validates in-place effects after a mutation, by running the mutated model with and without
clones.

A mutation may turn two values into one tensor: the input of a removed layer takes the place of its
output. If that is then modified in place while others read it, the model computes something
unintended. Both models run on an example; a difference that does not occur in the unmutated model
is fixed by a clone.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from runner.errors import GraphError
from runner.graph.interpreter.interpreter import Frame, Interpreter
from runner.graph.interpreter.threads import single_threaded
from runner.graph.ir.graph import Graph
from runner.graph.ir.memory_effects import unit_shares
from runner.graph.ir.node import Node, Value
from runner.graph.ir.unit import Unit
from runner.graph.transforms.alias_analysis import Aliases
from runner.graph.transforms.insert_clones import clone_input
from runner.graph.transforms.rerouted_values import Rerouted, rerouted
from runner.graph.validation.equivalence import seeded

BATCH = 2


@final
class Placed:
    """A unit that replaced another in a mutation, and that may return or modify its input."""

    def __init__(self, path: str, unit: Unit) -> None:
        self.path = path
        self.unit = unit
        self.key = (path, unit.cls.target, repr(unit.call))


CopyPoint = Rerouted | Placed
CopyKey = tuple[str, ...]  # identifies a point in all mutated graphs


@final
class EffectsValidation:
    """A validation of mutated graphs; results are memoized by mutation."""

    def __init__(self) -> None:
        self._verdicts: dict[
            frozenset[CopyKey], frozenset[CopyKey]
        ] = {}  # points -> those that need a clone

    def validate(self, base: Graph, mutated: Graph, name: str = "") -> None:
        """Inserts clones where in-place effects reach values that they do not reach in `base`,
        which is identified by `name`. Does nothing if no example is known, or if the mutated model
        does not run on it."""
        spots: list[CopyPoint] = [*_placed(base, mutated), *rerouted(base, mutated)]
        keys = frozenset([(name,), *(spot.key for spot in spots)])
        if mutated.example is None or not spots or self._verdicts.get(keys) == frozenset():
            return
        if keys not in self._verdicts and not Aliases(mutated).writes:
            return
        moved = [spot for spot in spots if isinstance(spot, Rerouted)]
        for spot in moved:
            spot.insert()
        needed: Collection[CopyPoint] = ()
        try:
            needed = self._needed(base, mutated, spots, keys, mutated.example)
        except GraphError:  # the mutated model does not run
            pass
        finally:
            for spot in moved:
                if spot not in needed:
                    spot.erase()
        for one in needed:
            if isinstance(one, Placed):
                clone_input(mutated, one.path)

    def _needed(
        self,
        base: Graph,
        mutated: Graph,
        spots: Sequence[CopyPoint],
        keys: frozenset[CopyKey],
        example: tuple[int, ...],
    ) -> list[CopyPoint]:
        """Returns the points that need a clone. Raises GraphError like the function `_needed`."""
        if keys not in self._verdicts:
            with single_threaded():
                found = _needed(base, mutated, spots, example)
            self._verdicts[keys] = frozenset(spot.key for spot in found)
        return [spot for spot in spots if spot.key in self._verdicts[keys]]


def _placed(base: Graph, mutated: Graph) -> Iterator[Placed]:
    """Yields the units that differ in the mutated graph."""
    for path, unit in mutated.units():
        if not unit.mutated or unit.grade != "basic" or unit_shares(unit) == "never":
            continue
        old = base.root.find(path)
        is_new = old is None or (old.cls, repr(old.call)) != (unit.cls, repr(unit.call))
        if is_new and unit.call is not None:
            yield Placed(path, unit)


def _needed(
    base: Graph, mutated: Graph, spots: Sequence[CopyPoint], example: tuple[int, ...]
) -> list[CopyPoint]:
    """Returns the points where only a clone preserves the result. Raises GraphError if the model
    cannot be built or does not run on the example."""
    trial = _CopyRun(mutated, spots, example)
    found = trial.runs(())
    on = [*spots]
    if _equal(found, trial.runs(on)):
        return []
    shared = _SharingRun(base, spots, example).found
    on = [spot for spot in spots if spot not in shared]
    right = trial.runs(on)
    if _equal(found, right):
        return []
    for spot in [*on]:
        fewer = [other for other in on if other is not spot]
        if _equal(trial.runs(fewer), right):
            on = fewer
    return on


# Runs


class _ExampleRun(Interpreter):
    """A run of a graph on one example, always from the same weights, buffers and random state."""

    def __init__(self, graph: Graph, example: tuple[int, ...]) -> None:
        with seeded():
            super().__init__(graph)
            self._input = torch.randn(BATCH, *example)
        self._state = _copied(self.model.state_dict())

    def run(self, *, training: bool) -> list[Any]:
        """Returns the tensors and numbers in the output of the model. Raises GraphError if it
        raises."""
        with torch.no_grad(), seeded():
            self.model.load_state_dict(self._state)
            self.model.train(training)
            try:
                return _copied(tree_leaves(self.model(self._input.clone())))  # type: ignore[no-any-return]
            except Exception as error:  # a user's code may raise anything
                raise GraphError(f"The model does not run on an example: {error}") from error


@final
class _CopyRun(_ExampleRun):
    """A run of a mutated graph with clones at some points."""

    def __init__(self, graph: Graph, spots: Sequence[CopyPoint], example: tuple[int, ...]) -> None:
        self._on: Collection[CopyPoint] = ()
        self._copies = {spot.copy: spot for spot in spots if isinstance(spot, Rerouted)}
        super().__init__(graph, example)
        for spot in spots:
            if isinstance(spot, Placed):
                module = self.builder.module(spot.unit, spot.path)
                module.register_forward_pre_hook(self._hook(spot), with_kwargs=True)

    def runs(self, on: Collection[CopyPoint]) -> list[list[Any]]:
        """Returns the outputs in eval and in train mode with clones at the points in `on`."""
        self._on = on
        return [self.run(training=training) for training in (False, True)]

    def run_call_method(self, node: Node, frame: Frame) -> Any:
        spot = self._copies.get(node)
        if spot is None:
            return super().run_call_method(node, frame)
        given = self.value(node.args[0], frame)
        return _copied(given) if spot in self._on else given

    def _hook(self, spot: Placed) -> Any:
        def copied(module: nn.Module, args: Any, kwargs: Any) -> Any:
            return _copied((args, kwargs)) if spot in self._on else None

        return copied


@final
class _SharingRun(_ExampleRun):
    """A run of the unmutated graph: `found` are the points where memory is shared there, too."""

    def __init__(self, graph: Graph, spots: Sequence[CopyPoint], example: tuple[int, ...]) -> None:
        self.found: set[CopyPoint] = set()
        self._pairs: dict[Value, list[tuple[Value, CopyPoint]]] = {}
        for spot in spots:
            if isinstance(spot, Rerouted) and spot.replacement is not None:
                self._pairs.setdefault(spot.old, []).append((spot.replacement, spot))
                self._pairs.setdefault(spot.replacement, []).append((spot.old, spot))
        super().__init__(graph, example)
        for spot in spots:
            if isinstance(spot, Placed) and (unit := graph.root.find(spot.path)) is not None:
                module = self.builder.module(unit, spot.path)
                module.register_forward_hook(self._hook(spot))
        for training in (False, True):
            self.run(training=training)

    def store(self, value: Value, thing: Any, frame: Frame) -> None:
        super().store(value, thing, frame)
        for other, spot in self._pairs.get(value, ()):
            if _memory(thing) & _memory(frame.values.get(other)):
                self.found.add(spot)

    def _hook(self, spot: Placed) -> Any:
        def compare(module: nn.Module, args: Any, result: Any) -> None:
            if _memory(args) & _memory(result):
                self.found.add(spot)

        return compare


def _copied(thing: Any) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), thing)


def _memory(thing: Any) -> set[int]:
    """Returns the addresses of the storages of all tensors in an object."""
    return {
        leaf.untyped_storage().data_ptr()
        for leaf in tree_leaves(thing)
        if isinstance(leaf, Tensor) and leaf.layout is torch.strided
    } - {0}


def _equal(ones: list[list[Any]], others: list[list[Any]]) -> bool:
    """Returns whether runs had equal outputs; numbers that are not tensors are not compared."""
    return all(
        len(one) == len(other) and all(map(_same, one, other))
        for one, other in zip(ones, others, strict=True)
    )


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.allclose(one, other, equal_nan=True) if one.dtype.is_floating_point else (
        torch.equal(one, other))  # fmt: skip
