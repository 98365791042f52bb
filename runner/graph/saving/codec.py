"""Graphs as plain JSON, and back. Shared units, functions and expressions stay shared.

Plain constants stand for themselves; anything else is a dict of one key, its kind:
{"tuple": [1, 2]}, {"ref": "torch:float32"}, {"value": 3}. Tensors stay in `graph.tensors`, by name.
"""

from collections.abc import Mapping
from typing import Any

from runner.errors import GraphError
from runner.graph.saving.decode import Reader
from runner.graph.saving.encode import Json, Writer
from runner.graph.unit import Graph, Note

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
        "notes": [[note.path, note.cls, note.text] for note in graph.notes],
        "history": [*graph.history],
        "tensors": [*graph.tensors],
        "units": writer.units,
        "bodies": writer.bodies,
        "expressions": writer.expressions,
    }


def from_json(data: Mapping[str, Json], tensors: Mapping[str, Any] | None = None) -> Graph:
    """The graph that `to_json` wrote, with its tensors. Raises GraphError for anything else."""
    try:
        if data["version"] != VERSION:
            raise GraphError(f"This graph is of version {data['version']!r}, not {VERSION}.")
        reader = Reader(data)
        graph = Graph(reader.units[data["root"]])
        graph.functions = {n: reader.bodies[i] for n, i in data["functions"].items()}
        graph.ties = [(path, owner) for path, owner in data["ties"]]
        graph.notes = [Note(*note) for note in data["notes"]]
        graph.history = [*data["history"]]
        graph.tensors = {name: (tensors or {})[name] for name in data["tensors"]}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise GraphError(f"This is not a graph in JSON: {error!r}.") from error
    return graph
