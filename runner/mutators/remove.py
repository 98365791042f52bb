"""Remove: removes modules, or calls of functions."""

from typing import Any, final

from runner.graph.ir.graph import Graph
from runner.graph.transforms.bypass import bypass_call, bypass_unit
from runner.mutators.selection import Match, Selective, check_switches


@final
class Remove(Selective):
    """A mutator that removes modules, or with `op` calls: their inputs replace their outputs.

    Applies where the users accept these inputs (a pooling layer can be removed unless later layers
    require fixed sizes); otherwise the sample is refused.
    """

    takes_calls = True

    def __init__(
        self, on: str = "", cls: str = "", op: str = "", *, remove: Any, tie: bool = False
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check_switches(remove, self.word)
        self.remove = remove

    def change(self, graph: Graph, match: Match) -> None:
        if not self.decide(self.remove, match):
            return
        if match.node is None:
            bypass_unit(graph, match.path)
        else:
            function = match.unit.edit(match.function)
            what = f"{match.label} ({match.node.line})"
            where = match.path or "the model's forward"
            bypass_call(graph, match.unit, function, match.node, what, where)
