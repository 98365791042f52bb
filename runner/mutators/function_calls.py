"""Replaces calls of functions in the code of units."""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional

from runner.errors import ConfigError, GraphError, as_yaml, did_you_mean
from runner.graph.ir.argument import Argument
from runner.graph.ir.function import Function
from runner.graph.ir.node import Node, Value
from runner.graph.ir.signature import signature
from runner.graph.transforms.call_sites import later_nodes
from runner.mutators.candidates import given_by, target_of


def _functional() -> Mapping[str, str]:
    """Returns the functions of torch.nn.functional, and others of torch, by name in lower case
    without underscores."""
    found = {}
    for module in (torch, torch.nn.functional):
        for name, thing in vars(module).items():
            if not name.startswith("_") and not name.endswith("_") and inspect.isroutine(thing):
                found[name.lower().replace("_", "")] = f"{module.__name__}:{name}"
    return found


_FUNCTIONS = _functional()


def check_function(candidate: Any, word: str) -> None:
    """Raises ConfigError if a candidate is not a function."""
    if isinstance(candidate, partial) and not isinstance(candidate.func, type):
        return
    name = candidate.func.__name__ if isinstance(candidate, partial) else candidate
    if not isinstance(name, str):
        raise ConfigError(
            f"{word}: {as_yaml(candidate)} is not a function: give a name such as 'silu'."
        )
    if name.lower().replace("_", "") not in _FUNCTIONS:
        near = did_you_mean(name.lower(), [t.rpartition(":")[2] for t in _FUNCTIONS.values()])
        raise ConfigError(f"{word}: torch.nn.functional has no function {name!r}.{near}")


def function_of(candidate: Any) -> tuple[str, dict[str, Argument]]:
    """Returns the function of a candidate, and the arguments that it specifies."""
    if not isinstance(candidate, partial):
        return _FUNCTIONS[candidate.lower().replace("_", "")], {}
    if isinstance(candidate.func, type):
        name = candidate.func.__name__.lower().replace("_", "")
        return _FUNCTIONS[name], given_by(candidate)
    return target_of(candidate), given_by(candidate)


def name_of_call(node: Node) -> str:
    """Returns the name of a called function, without the underscore of an in-place variant."""
    return node.target.rpartition(":")[2].removesuffix("_")


def replace_call(
    function: Function, node: Node, target: str, kwargs: Mapping[str, Argument]
) -> Node:
    """Replaces a call by a call of another function on the same first argument; returns the new
    node.

    Other arguments are kept if both functions have a parameter of that name. In-place work becomes
    out of place: later code that reads the modified tensor reads the result instead. Raises
    GraphError if such code is out of scope.
    """
    found = _arguments(node)
    first = next(iter(found), None)
    if first is None or not isinstance(found[first], Value) or len(node.outputs) > 1:
        raise GraphError(f"{node} ({node.line}) does not take and return a tensor.")
    given = found.pop(first)
    taken = _parameters(target)
    carried = {k: v for k, v in found.items() if k in taken and k != "inplace"}
    works_in_place = node.target.endswith("_") or found.get("inplace") not in (None, False)
    with function.inserting_before(node):
        new = function.create("call_function", target, (given,), {**carried, **kwargs},
                              line=node.line)  # fmt: skip
    for value in node.outputs:
        new.output.name = value.name
        value.replace_all_uses_with(new.output)
    if works_in_place:
        _read_instead(node, given, new)
    function.erase_node(node)
    return new


def _read_instead(node: Node, given: Value, new: Node) -> None:
    """Redirects later readers of a tensor that a node modified to another node."""
    later = [*later_nodes(node)]
    for user in [*given.users]:
        if user in later:
            if not user.is_in(node.block):
                raise GraphError(
                    f"{node} ({node.line}) changes a tensor in place, in a branch, and {user} "
                    "reads it outside, which is not supported."
                )
            user.replace_input(given, new.output)


def _arguments(node: Node) -> dict[str, Argument]:
    """Returns the arguments of a call by name, or by position if the names are unknown."""
    if node.op == "call_function":
        try:
            return {**signature(node.target).bind(*node.args, **node.kwargs).arguments}
        except (GraphError, TypeError):
            pass
    return {**{f"{i}": value for i, value in enumerate(node.args)}, **node.kwargs}


def _parameters(target: str) -> frozenset[str]:
    """Returns the names of the parameters of a function; empty if it has no signature."""
    try:
        return frozenset(signature(target).parameters)
    except GraphError:
        return frozenset()
