"""Modules that are values: which ones a value of a function may be."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from runner.graph.ir.effects import sources
from runner.graph.ir.node import Node, Value


def at_path(module: Any, path: str) -> Any:
    """Returns the module or plain attribute at the path of a get_attr below a module; None if
    there is neither."""
    for name in path.split(".") if path else ():
        if not isinstance(module, nn.Module):
            return None
        module = module._modules.get(name, vars(module).get(name))
    return module


def modules_of(found: Callable[[str], Any], value: Value) -> list[nn.Module]:
    """Returns the modules that a value may be: those that the function reads as attributes, and
    their children where it takes an item or an attribute of one. `found` returns what is at the
    path of a get_attr."""
    return [*{id(module): module for module in _candidates(found, value, set())}.values()]


def _candidates(
    found: Callable[[str], Any], value: Value, seen: set[tuple[Value, bool]], *, item: bool = False
) -> Iterator[nn.Module]:
    """Yields the modules that a value may be, or with `item` that it may hold."""
    node = value.node
    if (value, item) in seen:
        return
    seen.add((value, item))
    if node is not None and node.op == "get_attr":
        thing = found(node.target)
        if isinstance(thing, nn.Module):
            yield from _items(thing) if item else [thing]
        return
    if node is not None and _is_container(node):
        if not item:
            return
        item = False
    elif node is not None and _takes_item(node):
        item = True
    is_part = node is not None and node.target == "builtins:getattr"
    for source in sources(value):
        for module in _candidates(found, source, seen, item=item):
            if not is_part or node is None:
                yield module
            elif (part := module._modules.get(str(node.args[1]))) is not None:
                yield part


def _items(module: nn.Module) -> Iterator[nn.Module]:
    is_container = isinstance(module, nn.ModuleList | nn.ModuleDict | nn.Sequential)
    return module.children() if is_container else iter(())


def _takes_item(node: Node) -> bool:
    is_method = node.op == "call_method" and node.target in ("get", "pop", "__getitem__")
    return is_method or node.op == "unpack" or node.target in ("operator:getitem", "builtins:next")


def _is_container(node: Node) -> bool:
    return node.op in ("list", "dict")
