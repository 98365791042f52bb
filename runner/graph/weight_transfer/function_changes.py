"""What mutations changed that is not meant to leave alone what a model computes."""

from collections import Counter
from collections.abc import Mapping, Sequence

from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit

IDENTITIES = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
              "FeatureAlphaDropout", "DropPath", "StochasticDepth")  # fmt: skip
"""Names of classes that give what they are given when they are evaluated."""
HARMLESS = ("clone", "contiguous", "dropout")  # calls of which the same is true
CALLS = ("call_function", "call_method")


def changes(
    old: Graph, new: Graph, sources: Mapping[str, str | None], inserted: Sequence[str]
) -> list[str]:
    """What makes it no wonder that a model computes something else than the one it was made of; in
    words, empty where nothing does. `sources` are the paths of all units of the new graph with
    those in the old one, None for what is new.

    Other widths and kernels, and what was inserted, are not among it: that these change nothing at
    first is for the weights to see to.
    """
    befores, nows = (dict(g.root.walk(repeated=True)) for g in (old, new))
    found: list[str] = []
    counts = Counter(path for path in sources.values() if path is not None)
    for path, unit in befores.items():
        if path not in counts and not _is_identity(unit) and _above(path) in counts:
            found.append(f"{path} ({unit.name}) is gone")
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
            found.append(f"the code of {path or 'the model'} is another one")
    if _code(old.functions) != _code(new.functions):
        found.append("the code of functions is another one")
    return found


def _above(path: str) -> str:
    return path.rpartition(".")[0]


def _is_identity(unit: Unit) -> bool:
    return unit.name in IDENTITIES


def _copies(befores: Mapping[str, Unit], unit: Unit) -> int:
    """In how many places a unit stood before."""
    return sum(other is unit for other in befores.values())


def _is_below(path: str, sources: Mapping[str, str | None]) -> bool:
    """Whether what a unit is part of is one of several copies."""
    here, above = sources[path], sources.get(_above(path))
    copies = [*sources.values()].count(above) if path and above is not None else 1
    return here is not None and copies > 1


def _code(functions: Mapping[str, Function]) -> Counter[tuple[str, str]]:
    """How often each thing is called; numbers, which widths change, do not count."""
    return Counter(
        (node.op, node.target)
        for function in functions.values()
        for node in function.block.walk()
        if node.op in CALLS and node.target.rpartition(":")[2] not in HARMLESS
    )
