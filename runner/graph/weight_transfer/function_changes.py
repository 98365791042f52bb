"""Finds mutations that intentionally change the function of a model."""

from collections import Counter
from collections.abc import Mapping, Sequence

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit

# Names of classes that are identities in eval mode
IDENTITIES = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
              "FeatureAlphaDropout", "DropPath", "StochasticDepth")  # fmt: skip
HARMLESS = ("clone", "contiguous", "dropout")  # calls that are identities in eval mode
CALLS = ("call_function", "call_method")


def changes(
    old: Graph, new: Graph, sources: Mapping[str, str | None], inserted: Sequence[str]
) -> list[str]:
    """Returns sentences that explain why a model may compute something else than the one it derives
    from; empty if nothing does. `sources` maps the paths of all units of the new graph to those in
    the old one, None for new units.

    Other widths and kernel sizes and inserted units are not listed: the initial weights are meant
    to make them preserve the function.
    """
    befores, nows = (dict(g.root.walk(repeated=True)) for g in (old, new))
    found: list[str] = []
    counts = Counter(path for path in sources.values() if path is not None)
    for path, unit in befores.items():
        if path not in counts and not _is_identity(unit) and _above(path) in counts:
            found.append(f"{path} ({unit.name}) was removed")
    for path, unit in nows.items():
        before = sources[path]
        if any(f"{path}.".startswith(f"{top}.") for top in inserted):
            continue
        if before is None:
            if sources.get(_above(path), "") is not None and not _is_identity(unit):
                found.append(f"{path} ({unit.name}) is new")
        elif counts[before] > _copies(befores, befores[before]) and not _is_below(path, sources):
            found.append(f"{path} ({unit.name}) is one of several copies")
        elif _code(befores[before].functions) != _code(unit.functions):
            found.append(f"the code of {path or 'the model'} has changed")
    if _code(old.functions) != _code(new.functions):
        found.append("the code of functions has changed")
    return found


def _above(path: str) -> str:
    return path.rpartition(".")[0]


def _is_identity(unit: Unit) -> bool:
    return unit.name in IDENTITIES


def _copies(befores: Mapping[str, Unit], unit: Unit) -> int:
    """Returns at how many paths a unit occurred before."""
    return sum(other is unit for other in befores.values())


def _is_below(path: str, sources: Mapping[str, str | None]) -> bool:
    """Returns whether an ancestor of a unit is one of several copies."""
    here, above = sources[path], sources.get(_above(path))
    copies = [*sources.values()].count(above) if path and above is not None else 1
    return here is not None and copies > 1


def _code(functions: Mapping[str, Function]) -> Counter[tuple[str, str]]:
    """Counts the calls by operation and target; arguments, which widths change, are ignored."""
    return Counter(
        (node.op, node.target)
        for function in functions.values()
        for node in function.block.walk()
        if node.op in CALLS and node.target.rpartition(":")[2] not in HARMLESS
    )
