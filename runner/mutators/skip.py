"""Skip: one more residual connection."""

from typing import Any, final

from runner.graph.ir.graph import Graph
from runner.graph.transforms.add_skip import add_skip
from runner.mutators.selection import Match, Selective, check_switches


@final
class Skip(Selective):
    """Adds what a unit is given to what it gives; with `to`, to what the unit at that path gives.

    Both must be called in one function, or be children of one Sequential, which gets a forward of
    its own. It fits where both have one shape; elsewhere the sample is refused.
    """

    def __init__(
        self,
        on: str = "",
        cls: str = "",
        op: str = "",
        *,
        skip: Any,
        to: str = "",
        tie: bool = False,
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check_switches(skip, self.word)
        self.skip, self.to = skip, to

    def change(self, graph: Graph, match: Match) -> None:
        if self.decide(self.skip, match):
            add_skip(graph, match.path, self.to or match.path)
