"""Remove: takes modules, or calls of functions, out of a model."""

from typing import Any, final

from runner.graph.graph import Graph
from runner.graph.passing import pass_by, pass_node
from runner.mutators.selection import Match, Selective, check_listed, check_switch


@final
class Remove(Selective):
    """Takes modules out, or with `op` calls: what they are given goes on in their place.

    It fits where inputs and outputs have one shape; elsewhere the sample is refused.
    """

    takes_calls = True

    def __init__(
        self, on: str = "", cls: str = "", op: str = "", *, remove: Any, tie: bool = False
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check_listed(remove, self.word, lambda switch: check_switch(switch, self.word))
        self.remove = remove

    def change(self, graph: Graph, match: Match) -> None:
        if not self.decide(self.remove, match):
            return
        if match.node is None:
            pass_by(graph, match.path)
        else:
            function = match.unit.edit(match.function)
            pass_node(function, match.node, f"{match.label} ({match.node.line})", match.path)
