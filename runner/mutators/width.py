"""Width: the number of channels of layers, with everything that depends on it."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd, inf, lcm
from typing import Any, final

from runner.errors import ConfigError, GraphError, as_yaml
from runner.graph.channels.resize import Resizing
from runner.graph.channels.write_back import apply
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.graph.ir.width_source import Source
from runner.mutators.selection import Match, Selective, check_listed

KEPT = 64  # graphs whose width dependencies are memoized


@final
@dataclass(frozen=True)
class Coupled:
    """Layers whose widths can only change together: the first place matched among them, the sources
    of their widths, and why they cannot change, if so."""

    match: Match
    sources: Sequence[Source]
    problem: str = ""


@final
class Width(Selective):
    """A mutator that scales the number of output channels of layers: `width: [0.5, 0.75, 1.0]`.

    Everything that uses these channels follows: the next layers, norms, depthwise and grouped
    convolutions, parameters, numbers in code. Layers whose outputs are added or otherwise combined
    share one choice, named after the first match. The input and output of the model are unchanged.
    Layers that preserve the number of channels (norms, depthwise convolutions) have no width of
    their own, and are ignored if others match.

    Dependencies are found by trial runs on shapes (see `runner.graph.channels`), for any module
    whose constructor takes its width as a number.
    """

    def __init__(
        self,
        width: float | list[float],
        on: str = "",
        cls: str = "",
        op: str = "",
        *,
        multiple: int = 1,
        tie: bool = False,
    ) -> None:
        """Initializes the mutator. `width` are factors above 0; numbers of channels are rounded to
        a multiple of `multiple`, and such that layers which change together scale alike."""
        super().__init__(on, cls, op, tie=tie)
        check_listed(width, self.word, _check)
        if multiple < 1:
            raise ConfigError(f"multiple is {multiple}; it must be at least 1.")
        self.width, self.multiple = width, multiple
        self._known: OrderedDict[Any, tuple[Resizing, Sequence[Coupled]]] = OrderedDict()

    def mutate(self, graph: Graph) -> None:
        matches = self.matches(graph)
        if not matches:
            return
        resizing, groups = self._groups(graph, matches)
        possible = [group for group in groups if not group.problem]
        if not possible:
            raise GraphError(groups[0].problem if groups else _none(matches))
        wanted: dict[Source, int] = {}
        for group in possible:
            factor = self.decide(self.width, group.match)
            wanted |= self._sizes(group, factor)
            graph.widths[f"{self.word}/{group.match.label}"] = [*group.sources]
        if any(source.size != size for source, size in wanted.items()):
            apply(graph, resizing.fit(wanted))

    def change(self, graph: Graph, match: Match) -> None:
        raise AssertionError("widths are changed together")

    def places(self, graph: Graph) -> list[str]:
        """Returns one place for layers that change together, without those that cannot change."""
        _, groups = self._groups(graph, self.matches(graph))
        return [group.match.label for group in groups if not group.problem]

    def _groups(self, graph: Graph, matches: Sequence[Match]) -> tuple[Resizing, Sequence[Coupled]]:
        """Returns the groups of layers that change together; memoized for similar graphs."""
        key = _likeness(graph)
        if key not in self._known:
            resizing = Resizing(graph.copy())
            self._known[key] = resizing, [*_coupled(resizing, matches)]
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _sizes(self, group: Coupled, factor: float) -> dict[Source, int]:
        """Returns the sizes for a factor: the nearest ones that scale all layers of a group
        alike."""
        sizes = [source.size for source in group.sources]
        first = sizes[0]
        step = lcm(self.multiple, first // gcd(*sizes))
        size = max(1, round(first * factor / step)) * step
        return {source: source.size * size // first for source in group.sources}


def _check(factor: Any) -> None:
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < inf:
        raise ConfigError(f"width is {as_yaml(factor)}; it must be a factor above 0, such as 0.5.")


def _coupled(resizing: Resizing, matches: Sequence[Match]) -> Iterator[Coupled]:
    """Yields the matched layers that have a width, grouped by those that change together."""
    done: set[Source] = set()
    for match in matches:
        for source in resizing.sources(match.path):
            if source in done:
                continue
            try:
                sources = resizing.coupled(source)
            except GraphError as error:
                text = f"{match.path} cannot have another width. If it were twice as wide: {error}"
                yield Coupled(match, [source], text)
            else:
                done |= {*sources}
                yield Coupled(match, sources)


def _none(matches: Sequence[Match]) -> str:
    paths = ", ".join(match.label for match in matches[:3])
    return (
        f"{paths}: no match has a width of its own; name the layers that determine the "
        "channels, such as convolutions or linear layers."
    )


def _likeness(graph: Graph) -> Any:
    """Returns a key that is equal for graphs of equal structure."""

    def likeness(unit: Unit) -> Any:
        edits = [(unit.path_to(edit.unit), edit) for edit in unit.edits]
        return unit.cls, repr(unit.call), repr(edits), tuple(unit.functions.values())

    return graph.example, *((path, likeness(unit)) for path, unit in graph.root.walk())
