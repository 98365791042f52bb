"""Merges one graph into another: its units, functions, tensors and ties."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from runner.graph.ir.argument import Argument, Stored, leaves_and_calls, rebuild_argument
from runner.graph.ir.equality import alike
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit, joined

Renames = dict[str, str]  # old name -> new name


def merge_graph(graph: Graph, made: Graph, put: Callable[[Unit], str]) -> str:
    """Merges a copy of another graph into this one. `put` is called with its root, inserts it, and
    returns its path, which this function returns, too.

    Functions and tensors whose names are taken by different ones are renamed.
    """
    copy = made.copy()
    tensors = _new_names(graph.tensors, copy.tensors, torch.equal)
    if tensors:
        _rename_tensors(copy, tensors)
    functions = _new_names(graph.functions, copy.functions, alike)
    if functions:
        _rename_functions(copy, functions)
    graph.tensors |= copy.tensors
    graph.functions = {**copy.functions, **graph.functions}
    path = put(copy.root)
    graph.tied = [*graph.tied, *copy.tied]
    graph.notes += [replace(note, path=joined(path, note.path)) for note in copy.notes]
    return path


def _new_names(here: dict[str, Any], there: dict[str, Any], same: Callable[..., bool]) -> Renames:
    """Returns new names for things whose names are taken by different ones."""
    names: Renames = {}
    for name, thing in there.items():
        if name in here and not same(here[name], thing):
            number = 2
            while (free := f"{name}_{number}") in {*here, *there, *names.values()}:
                number += 1
            names[name] = free
    return names


def _rename_functions(graph: Graph, names: Renames) -> None:
    targets = {f":{old}": f":{new}" for old, new in names.items()}
    for function in _functions(graph, lambda f: any(n.target in targets for n in f.nodes)):
        for node in function.nodes:
            node.target = targets.get(node.target, node.target)
    renamed = {}
    for old, function in graph.functions.items():
        function.name = names.get(old, old)
        renamed[function.name] = function
    graph.functions = renamed


def _rename_tensors(graph: Graph, names: Renames) -> None:
    def renamed(leaf: Argument) -> Argument:
        return Stored(names.get(leaf.name, leaf.name)) if type(leaf) is Stored else leaf

    def differs(function: Function) -> bool:
        given = [(node.args, {**node.kwargs}) for node in function.block.walk()]
        return any(type(leaf) is Stored and leaf.name in names for leaf in leaves_and_calls(given))

    for function in _functions(graph, differs):
        for node in function.block.walk():
            node.args, node.kwargs = rebuild_argument((node.args, {**node.kwargs}), renamed)
    for _, unit in graph.units():
        unit.rebuild(renamed)
        unit.starts = [start.rebuilt(renamed) for start in unit.starts]
    graph.tensors = {names.get(name, name): tensor for name, tensor in graph.tensors.items()}


def _functions(graph: Graph, wanted: Callable[[Function], bool]) -> list[Function]:
    """Returns all functions of the graph and of its units that match, to be changed."""
    found = [function for function in graph.functions.values() if wanted(function)]
    for _, unit in graph.units():
        changed, mutated = unit.changed, unit.mutated
        names = [name for name, function in unit.functions.items() if wanted(function)]
        found += [unit.edit(name) for name in names]
        if names:
            unit.share()  # renaming does not change semantics
        unit.mark(changed=changed, mutated=mutated)
    return found
