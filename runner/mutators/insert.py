"""Insert: an additional module after or before a unit."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, final

from runner.errors import ConfigError, GraphError, as_yaml
from runner.graph.ir.argument import Call
from runner.graph.ir.graph import Graph
from runner.graph.ir.memory_effects import works_in_place
from runner.graph.ir.node import Value
from runner.graph.ir.unit import Unit, joined
from runner.graph.transforms.call_sites import Site, is_in_order, parent_of, sites
from runner.graph.transforms.duplicate import place_child_after
from runner.graph.transforms.merge_graphs import merge_graph
from runner.graph.transforms.reconstruct import constructed
from runner.mutators.candidates import call_of, check_candidate, snake
from runner.mutators.channel_counts import Side, Spots
from runner.mutators.selection import Match, Selective, check_listed


@final
class Insert(Selective):
    """A mutator that inserts one of `insert` directly after a unit, or before it (`where`: output
    or input).

    A candidate is None, for nothing; the name of a class in torch.nn; or a partial of any class.
    Required arguments that are not specified must be numbers of channels by their names
    (`channels`, `num_features`, `dim`, ...): those of the tensor at that place are used, see
    `Spots`. All other modules keep their names. The new module is named after the unit and its own
    class (layer1_squeeze_excite; squeeze_excite_0 for a 0); there is one for each call of the unit.
    """

    def __init__(
        self,
        on: str = "",
        cls: str = "",
        op: str = "",
        *,
        insert: Any,
        where: Literal["output", "input"] = "output",
        tie: bool = False,
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check_listed(insert, self.word, self._check)
        if where not in ("output", "input"):
            raise ConfigError(f"insert: where is {as_yaml(where)}; it must be 'output' or 'input'.")
        self.insert = insert
        self.where: Side = where
        self._spots: Spots | None = None

    def mutate(self, graph: Graph) -> None:
        self._spots = None
        super().mutate(graph)

    def change(self, graph: Graph, match: Match) -> None:
        candidate = self.decide(self.insert, match)
        if candidate is None:
            return
        path = match.path
        found = sites(graph, match.unit)
        parent, _, _ = parent_of(graph, path)
        if is_in_order(parent):
            self._in_order(graph, path, self._call(graph, candidate, path, 0), found)
        elif found:
            for i, site in enumerate(found):
                self._at_call(graph, site, self._call(graph, candidate, path, i))
        else:
            self._around(graph, path, self._call(graph, candidate, path, 0))

    def _check(self, candidate: Any) -> None:
        if candidate is not None:
            check_candidate(candidate, self.word)

    def _call(self, graph: Graph, candidate: Any, path: str, number: int) -> Call:

        def fill() -> int:
            if self._spots is None:
                self._spots = Spots([match.path for match in self.matches(graph)], self.where)
            return self._spots.channels(graph, path, number)

        try:
            return call_of(candidate, fill=fill)
        except GraphError as error:
            raise GraphError(f"Nothing can be inserted at {path}: {error}") from error

    def _merge(self, graph: Graph, call: Call, put: Callable[[Unit], str]) -> None:
        """Merges a module marked as inserted, which weight transfer initializes as an identity."""

        def marked(new: Unit) -> str:
            new.mark(inserted=True)
            if works_in_place(new):  # others may read its input
                new.set_argument("inplace", False)
            return put(new)

        merge_graph(graph, constructed(call, graph), marked)

    def _in_order(self, graph: Graph, path: str, call: Call, found: Sequence[Site]) -> None:
        """Inserts a module into a Sequential, and into code that calls its children one by one."""
        parent, above, name = parent_of(graph, path)

        def put(new: Unit) -> str:
            child = _name(parent, name, call)
            parent.set_child(child, new)
            place_child_after(parent, name, child)
            if self.where == "input":
                place_child_after(parent, child, name)
            for site in found:
                self._call_at(site, joined(site.node.path.rpartition(".")[0], child))
            return joined(above, child)

        self._merge(graph, call, put)

    def _at_call(self, graph: Graph, site: Site, call: Call) -> None:
        """Inserts a module into the owner of a call site, and a call of it next to that site."""

        def put(new: Unit) -> str:
            child = _name(site.owner, site.node.path, call)
            site.owner.set_child(child, new)
            self._call_at(site, child)
            return joined(site.path, child)

        self._merge(graph, call, put)

    def _call_at(self, site: Site, path: str) -> None:
        (_call_after if self.where == "output" else _call_before)(site, path)

    def _around(self, graph: Graph, path: str, call: Call) -> None:
        """Wraps a unit that is called by opaque code."""
        unit = graph.unit(path)

        def put(new: Unit) -> str:
            both = (unit, new) if self.where == "output" else (new, unit)
            graph.replace(path, Unit.of("torch.nn:Sequential", *both))
            return f"{path}.{both.index(new)}"

        self._merge(graph, call, put)


def _name(parent: Unit, path: str, call: Call) -> str:
    """Returns an unused name for a new child: that of the unit at its place, then its class."""
    words = [*path.split("."), snake(call.target.rpartition(":")[2])]
    if words[0].isdigit():
        words = [*words[-1:], *words[:-1]]  # squeeze_excite_0 is a valid attribute name
    name = free = "_".join(words)
    number = 2
    while parent.is_taken(free):
        free, number = f"{name}_{number}", number + 1
    return free


def _call_after(site: Site, child: str) -> None:
    """Calls a child with the output of a call; users receive its output instead."""
    node = site.node
    if len(node.outputs) != 1:
        raise GraphError(f"{site}: the call returns {len(node.outputs)} values, not one.")
    users = [*node.output.users]
    with site.function.inserting_after(node):
        value = site.function.call_module(child, node.output)
    value.name = node.output.name
    for user in users:
        user.replace_input(node.output, value)


def _call_before(site: Site, child: str) -> None:
    """Calls a child with the first argument of another call, which receives its output instead."""
    given = site.given
    if not isinstance(given, Value):
        raise GraphError(f"{site}: the call takes {given!r}, which is not a tensor.")
    with site.function.inserting_before(site.node):
        value = site.function.call_module(child, given)
    value.name = given.name
    site.give(value)
