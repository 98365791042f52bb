"""Skip: an additional residual connection."""

from typing import Any, final

from runner.graph.ir.graph import Graph
from runner.graph.transforms.add_skip import add_skip
from runner.mutators.selection import Match, Selective, check_switches


@final
class Skip(Selective):
    """A mutator that adds the input of a unit to its output; with `to`, to the output of the unit
    at that path.

    Both must be called in one function, or be children of one Sequential, which gets an explicit
    forward. Applies if both tensors have the same shape; otherwise the sample is refused.
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
