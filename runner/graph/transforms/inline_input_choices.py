"""Inlines resolved InputChoices: since they have no weights, their calls become operations."""

from collections.abc import Iterator, Sequence

from runner.errors import GraphError
from runner.graph.ir.argument import Argument
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node, Parameter, Value
from runner.graph.ir.unit import Unit
from runner.nn.layer import CALLED_WITH_DICT
from runner.space.sample import Chooser


def input_choice(unit: Unit, ask: Chooser) -> Unit:
    """Returns a unit that selects and reduces its inputs; its calls are inlined later."""
    facts = unit.facts
    chosen = ask(facts["choice"]) if facts["choice"] is not None else facts["chosen"]
    decided = Unit("graph", unit.cls)
    decided.changed = True
    decided.facts = {"chosen": chosen, "reduction": facts["reduction"]}
    forward = Function("forward", [Parameter("inputs")])
    picked = [forward.call_function("operator:getitem", forward.inputs[0], i) for i in chosen]
    forward.result = reduce_inputs(forward, picked, facts["reduction"])
    decided.functions["forward"] = forward
    return decided


def reduce_inputs(function: Function, picked: Sequence[Argument], reduction: str) -> Argument:
    """Creates the nodes that reduce the selected inputs of an InputChoice; returns the result."""
    if reduction == "none":
        return [*picked]
    if len(picked) < 2:
        return picked[0] if picked else None
    if reduction == "concat":
        return function.call_function("torch:cat", [*picked], dim=1)
    total = picked[0]
    for item in picked[1:]:
        total = function.call_function("operator:add", total, item)
    if reduction == "mean":
        return function.call_function("operator:truediv", total, len(picked))
    return total


def inline_inputs(graph: Graph) -> None:
    """Replaces calls of resolved InputChoices by their operations."""
    picks = {unit for _, unit in graph.root.walk() if _is_pick(unit)}
    if not picks:
        return
    for _, unit in [*graph.root.walk()]:
        for name, function in [*unit.functions.items()]:
            if any(_picked(unit, node) in picks for node in function.nodes):
                function = unit.edit(name)
                unit.changed = True
                for node in function.nodes:
                    if (pick := _picked(unit, node)) in picks and pick is not None:
                        _inline(function, node, pick)
    for _, unit in [*graph.root.walk()]:
        _drop_unused(unit, picks)


def _is_pick(unit: Unit) -> bool:
    return unit.name in ("InputChoice", "ChosenInputs") and "chosen" in unit.facts


def _picked(unit: Unit, node: Node) -> Unit | None:
    """Returns the unit below that a node calls, if any."""
    return unit.find(node.path) if node.op == "call_module" and node.path else None


def _inline(function: Function, node: Node, pick: Unit) -> None:
    """Replaces a call of an InputChoice by its operations."""
    given = node.args[0] if node.args else next(iter(node.kwargs.values()))
    with function.inserting_before(node):
        picked = [*_items(function, given, pick.facts["chosen"])]
        result = reduce_inputs(function, picked, pick.facts["reduction"])
    [old] = node.outputs
    if isinstance(result, Value) and not result.name and result.users.keys() <= {node}:
        result.name = old.name
    old.replace_all_uses_with(result)
    function.erase_node(node)
    source = given.node if isinstance(given, Value) else None
    if source is not None and source.op == "list" and not source.users:
        function.erase_node(source)


def _items(function: Function, given: Argument, chosen: Sequence[int]) -> Iterator[Argument]:
    """Yields elements of a list: the elements themselves if known, otherwise `list[i]`."""
    source = given.node if isinstance(given, Value) else None
    if source is not None and source.op == "list" and len(source.users) == 1:
        given = [*source.args]  # the list has no other users, so it is unmodified
    if source is not None and source.op == "dict" and len(source.users) == 1:
        names = [key for key in source.args[::2] if isinstance(key, str)]
        if names:
            raise GraphError(CALLED_WITH_DICT.format(names, len(names)))
    for i in chosen:
        if isinstance(given, list | tuple):
            yield given[i]
        else:
            yield function.call_function("operator:getitem", given, i)


def _drop_unused(unit: Unit, picks: set[Unit]) -> None:
    """Removes resolved InputChoices, except from containers and shells."""
    if unit.cls.module == "torch.nn" or unit.grade == "shell":
        return  # positions in a container matter; a shell may call them
    for name, child in [*unit.children.items()]:
        if child in picks:
            del unit.children[name]
            unit.changed = True
