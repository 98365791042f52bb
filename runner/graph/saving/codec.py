"""Graphs as plain JSON, and back. Shared units, functions and expressions stay shared.

Plain constants stand for themselves; anything else is a dict of one key, its kind:
{"tuple": [1, 2]}, {"ref": "torch:float32"}, {"value": 3}. Tensors stay in `graph.tensors`, by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runner.errors import ConfigError, GraphError, one_line
from runner.graph.graph import Graph, Note
from runner.graph.saving.decode import Reader, of, text
from runner.graph.saving.encode import Json, Writer
from runner.graph.saving.trusted import check_trusted
from runner.graph.widths.source import Source

VERSION = 1


def to_json(graph: Graph) -> dict[str, Json]:
    """A graph as plain JSON. Raises GraphError for a Python object that has no such form."""
    writer = Writer()
    root = writer.unit(graph.root)
    functions = {name: writer.function(f) for name, f in graph.functions.items()}
    return {
        "version": VERSION,
        "root": root,
        "functions": functions,
        "ties": [[*tie] for tie in graph.ties],
        "notes": [[note.path, note.cls, note.text, note.lost] for note in graph.notes],
        "history": [*graph.history],
        "example": None if graph.example is None else [*graph.example],
        "widths": {
            label: [[s.kind, s.path, s.name, [*s.place], s.size] for s in sources]
            for label, sources in graph.widths.items()
        },
        "tensors": [*graph.tensors],
        "units": writer.units,
        "bodies": writer.bodies,
        "expressions": writer.expressions,
    }


def from_json(
    data: Mapping[str, Json],
    tensors: Mapping[str, Any] | None = None,
    *,
    trust: Sequence[str] = (),
) -> Graph:
    """The graph that `to_json` wrote, with its tensors. Raises GraphError for anything else.

    A graph may call what torch computes with, `operator`, `math`, a part of Python's builtins, and
    what stands in the packages of its own modules' classes; functions of others (`einops`) only
    with `trust=["einops"]`. So one from a stranger can do no more than the modules it names.
    """
    try:
        graph = _graph(data)
        names = [text(name) for name in of(list, data["tensors"])]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ConfigError,
            ArithmeticError, RecursionError) as error:  # fmt: skip
        if isinstance(error, GraphError):
            raise
        raise GraphError(f"This is not a graph in JSON: {one_line(error)}.") from error
    given = tensors or {}
    if missing := [name for name in names if name not in given]:
        raise GraphError(
            f"The graph has tensors of its own, {', '.join(map(repr, missing[:3]))}: hand them "
            "over as from_json(data, tensors=graph.tensors)."
        )
    graph.tensors = {name: given[name] for name in names}
    check_trusted(graph, trust)
    return graph


def _graph(data: Mapping[str, Json]) -> Graph:
    """The graph of some JSON, without its tensors."""
    if of(dict, data)["version"] != VERSION:
        raise GraphError(f"This graph is of version {data['version']!r}, not {VERSION}.")
    reader = Reader(data)
    graph = Graph(reader.unit(data["root"]))
    graph.functions = reader.functions(data["functions"])
    graph.ties = [(text(path), text(owner)) for path, owner in of(list, data["ties"])]
    graph.notes = [
        Note(text(path), text(cls), text(words), of(bool, lost))
        for path, cls, words, lost in of(list, data["notes"])
    ]
    graph.history = [text(sentence) for sentence in of(list, data["history"])]
    if (example := data.get("example")) is not None:
        graph.example = tuple(of(int, size) for size in of(list, example))
    for label, sources in of(dict, data.get("widths", {})).items():
        graph.widths[text(label)] = [_source(*of(list, source)) for source in of(list, sources)]
    return graph


def _source(kind: Json, path: Json, name: Json, place: Json, size: Json) -> Source:
    if kind not in ("layer", "tensor", "number"):
        raise GraphError(f"{kind!r} sets no width.")
    parts = tuple(part if type(part) is int else text(part) for part in of(list, place))
    return Source(kind, text(path), text(name), parts, of(int, size))
