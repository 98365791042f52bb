"""Modules that are values: which ones a value of a function may be."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from runner.graph.ir.effects import sources
from runner.graph.ir.node import Value


def at_path(module: Any, path: str) -> Any:
    """Returns what is at the path of a get_attr below a module; None if there is nothing."""
    for name in path.split(".") if path else ():
        module = getattr(module, name, None)
    return module


def modules_of(found: Callable[[str], Any], value: Value) -> list[nn.Module]:
    """Returns the modules that a value may be: those that the function reads as attributes, and
    their children where it takes an item or an attribute of one. `found` returns what is at the
    path of a get_attr."""
    return [*{id(module): module for module in _candidates(found, value, set())}.values()]


def _candidates(found: Callable[[str], Any], value: Value, seen: set[Value]) -> Iterator[nn.Module]:
    node = value.node
    if value in seen:
        return
    seen.add(value)
    if node is not None and node.op == "get_attr":
        thing = found(node.target)
        if isinstance(thing, nn.Module):
            yield thing
        return
    is_item = node is not None and node.target == "operator:getitem"
    is_part = node is not None and node.target == "builtins:getattr"
    for source in sources(value):
        for module in _candidates(found, source, seen):
            if is_item and isinstance(module, nn.ModuleList | nn.ModuleDict | nn.Sequential):
                yield from module.children()
            elif not is_part or node is None:
                yield module
            elif (part := module._modules.get(str(node.args[1]))) is not None:
                yield part
