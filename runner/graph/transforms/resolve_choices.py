"""Resolves the choices in the graph of a space."""

from dataclasses import replace
from typing import final
from weakref import WeakValueDictionary

from runner.graph.ir.argument import Argument, rebuild_argument
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node
from runner.graph.ir.signature import drop_defaults
from runner.graph.ir.symbolic import SymbolicUnits, is_symbolic
from runner.graph.ir.unit import Unit
from runner.graph.transforms.fold_branches import fold_branches
from runner.graph.transforms.inline_input_choices import inline_inputs
from runner.graph.transforms.resolve_modules import (
    ANYHOW,
    CHOSEN,
    KINDS,
    Forwards,
    generalize_cells,
)
from runner.nn.values.expression import Expression
from runner.space.sample import Chooser


def decided(graph: Graph, ask: Chooser) -> Graph:
    """Returns the graph with all choices resolved, see `Resolver`."""
    return Resolver(graph).decided(ask)


@final
class Resolver:
    """A resolver of the choices in the graph of a space, for one sample after another; the graph
    itself is not changed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.symbolic = SymbolicUnits()
        self.forwards: Forwards = WeakValueDictionary()

    def decided(self, ask: Chooser) -> Graph:
        """Returns a graph in which every choice is resolved: symbolic units are replaced by their
        chosen candidates under the same names, and expressions by their values.

        Units without symbolic choices are shared with the original graph: copy the result before
        changing it. `ask` may be called several times for one choice, and must answer the same each
        time.
        """
        deciding = _Deciding(self, ask)
        deciding.unit(self.graph.root)
        twin = self.graph.copy(deciding.done)
        inline_inputs(twin)
        generalize_cells(twin.root, self.forwards)
        deciding.finish(twin)
        return twin


@final
class _Deciding:
    """One pass over the tree of units; a shared unit is resolved once."""

    def __init__(self, resolver: Resolver, ask: Chooser) -> None:
        self.ask = ask
        self.done: dict[Unit, Unit] = {}
        self._symbolic = resolver.symbolic
        self._forwards = resolver.forwards
        self._copies: list[Unit] = []

    def unit(self, unit: Unit) -> Unit:
        """Returns the resolved unit: the unit itself if nothing is symbolic, otherwise a copy of it
        or of the chosen candidate, resolved at all depths."""
        if unit not in self.done:
            chosen = unit
            while chosen.grade == "symbolic":
                chosen = KINDS[chosen.name](chosen, self.ask)
            if ANYHOW in chosen.facts:
                chosen.facts[CHOSEN] = unit.name != "Cell"
                chosen.functions["forward"] = chosen.facts[ANYHOW].forward(self._forwards)
            if self._symbolic.is_closed(chosen):
                self.done[chosen] = chosen
            self.done[unit] = self.done.get(chosen) or self._copy(chosen)
        return self.done[unit]

    def finish(self, graph: Graph) -> None:
        """Redirects initializing calls to units of the new graph, drops those of other units, and
        lets copies of the graph share all functions."""
        for unit in self._copies:
            unit.share()
        filling = [unit for unit in self._copies if unit.starts or unit.edits]
        units = {unit for _, unit in graph.root.walk()} if filling else set()
        for unit in filling:
            starts = (replace(s, unit=self.done.get(s.unit, s.unit)) for s in unit.starts)
            unit.starts = [start.rebuilt(self.value) for start in starts if start.unit in units]
            edits = (edit.moved(self.done) for edit in unit.edits)
            unit.edits = [edit for edit in edits if edit.unit in units]

    def _copy(self, unit: Unit) -> Unit:
        twin = self.done[unit] = unit.shallow()
        self._copies.append(twin)
        for name, child in unit.children.items():
            if child is not None:
                twin.children[name] = self.unit(child)
        if not self._symbolic.is_made_by_call(unit):
            twin.changed = True
        twin.rebuild(self.value)
        if twin.call is not None and unit.grade == "basic":
            twin.call = drop_defaults(twin.call)
        for name, function in unit.functions.items():
            if self._symbolic.has_choices(function):
                twin.changed = True
                fold_branches(twin.edit(name).block, self._resolve)
        return twin

    def _resolve(self, node: Node) -> None:
        if is_symbolic(given := (node.args, {**node.kwargs})):
            node.args, node.kwargs = rebuild_argument(given, self.value)

    def value(self, leaf: Argument) -> Argument:
        """Returns the resolved leaf of an argument."""
        if isinstance(leaf, Expression):
            return leaf.resolve(self.ask)
        return self.unit(leaf) if type(leaf) is Unit else leaf
