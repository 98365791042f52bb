"""What becomes of the calls, edits and ties of a unit that is replaced.

They belong to the unit, not to its place: gone with a unit that is gone, and kept for one that the
new unit holds, for example `Sequential(Dropout(), head)` in the place of `head`.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from runner.graph.ir.graph import Graph
    from runner.graph.ir.unit import Unit

Tie = tuple[str, str]


@final
class Move:
    """A unit that was replaced, at one place, by another one or by None."""

    def __init__(self, old: "Unit", new: "Unit | None") -> None:
        self.old = old
        self.new = new

    @cached_property
    def _now(self) -> "Mapping[Unit, str]":
        """The paths of all units below the new one."""
        return {} if self.new is None else {unit: path for path, unit in self.new.walk()}

    def path(self, path: str, place: str) -> str | None:
        """Where a path leads now that the unit at `place` was replaced; None if that is gone."""
        if path != place and not path.startswith(f"{place}."):
            return path
        unit, names = self.old, path[len(place) + 1 :].split(".")
        while names and (child := unit.children.get(names[0])) is not None:
            unit, names = child, names[1:]
        now = self._now.get(unit)
        return None if now is None else ".".join(filter(None, (place, now, *names)))

    def follow(self, owner: "Unit", place: str) -> None:
        """Have the starts and edits of a unit follow what was replaced at a place below it."""
        if owner.edits:
            moved = ((self.path(path, place), *rest) for path, *rest in owner.edits)
            owner.edits = [(path, name, value) for path, name, value in moved if path is not None]
        if owner.starts:
            gone = {unit for _, unit in self.old.walk()} - self._now.keys()
            if any(start.units & gone for start in owner.starts):
                gone -= {unit for _, unit in owner.walk()}  # it may stand in another place, too
                owner.starts = [start for start in owner.starts if not start.units & gone]

    def ties(self, ties: Iterable[Tie], place: str) -> list[Tie]:
        """The ties of a graph now. Where the owner of a tensor is gone, the others share one."""
        kept: list[Tie] = []
        heirs: dict[str, str] = {}  # of owners that are gone: who has the tensor now
        for tie in ties:
            here, there = (self.path(path, place) for path in tie)
            if here is None:
                continue
            there = heirs.setdefault(tie[1], here) if there is None else there
            if here != there:
                kept.append(tie if tie == (here, there) else (here, there))
        return kept


@final
class Ties:
    """The ties of a graph with the units they are of, so that they can follow changes by hand."""

    def __init__(self, graph: "Graph") -> None:
        self._known = [(tie, _owners(graph, tie)) for tie in graph.ties]

    def follow(self, graph: "Graph") -> None:
        """Forget the ties of tensors that are gone, or whose unit stands elsewhere now."""
        gone = {id(tie) for tie, owners in self._known if _owners(graph, tie) != owners}
        graph.ties = [tie for tie in graph.ties if id(tie) not in gone]


def _owners(graph: "Graph", tie: Tie) -> "list[Unit]":
    return [_owner(graph, path) for path in tie]


def _owner(graph: "Graph", path: str) -> "Unit":
    """The innermost unit on the way to a tensor."""
    unit = graph.root
    for name in path.split("."):
        below = unit.children.get(name)
        if below is None:
            break
        unit = below
    return unit
