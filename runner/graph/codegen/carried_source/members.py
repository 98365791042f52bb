"""The members of a class that are needed if nothing constructs it: all but `__init__` and what only
that calls."""

import ast

from torch import nn

_OF_MODULE = frozenset(dir(nn.Module))
_PLAIN_DECORATORS = ("staticmethod", "classmethod")


def of_constructor(node: ast.ClassDef) -> frozenset[ast.AST]:
    """Returns the definitions in a class that only its constructor needs."""
    methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
    dropped: set[ast.AST] = {methods["__init__"]} if "__init__" in methods else set()
    while dropped:
        asked = set().union(*map(_mentions, dropped))
        others = set().union(*(_mentions(each) for each in node.body if each not in dropped))
        more = {
            method
            for name, method in methods.items()
            if name in asked - others - _OF_MODULE and name[:2] != "__" and _is_plain(method)
        } - dropped
        if not more:
            break
        dropped |= more
    return frozenset(dropped)


def _is_plain(method: ast.FunctionDef) -> bool:
    names = [ast.unparse(each) for each in method.decorator_list]
    return all(name in _PLAIN_DECORATORS for name in names)


def _mentions(node: ast.AST) -> set[str]:
    """Returns the names that code may use of any object, or of its class."""
    found: set[str] = set()
    for inner in ast.walk(node):
        match inner:
            case ast.Attribute():
                found.add(inner.attr)
            case ast.Name():
                found.add(inner.id)
            case ast.Constant(value=str() as text):
                found.add(text)
    return found
