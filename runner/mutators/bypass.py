"""Bypass: skips a range of units."""

from typing import Any, final

from runner.graph.ir.graph import Graph
from runner.graph.transforms.bypass import bypass_between, bypass_unit
from runner.mutators.selection import Match, Selective, check_switches


@final
class Bypass(Selective):
    """A mutator that connects the input of a unit to the users of its output; with `to`, to the
    users of the unit at that path, so that everything between is bypassed.

    Both must be called in one function, or be children of one Sequential. Unused units are removed.
    """

    def __init__(
        self,
        on: str = "",
        cls: str = "",
        op: str = "",
        *,
        bypass: Any,
        to: str = "",
        tie: bool = False,
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check_switches(bypass, self.word)
        self.bypass, self.to = bypass, to

    def change(self, graph: Graph, match: Match) -> None:
        if not self.decide(self.bypass, match):
            return
        if self.to in ("", match.path):
            bypass_unit(graph, match.path)
        else:
            bypass_between(graph, match.path, self.to)
