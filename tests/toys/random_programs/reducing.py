"""Reduces the text of a program: takes away what is not needed for something to hold of it."""

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

Holds = Callable[[str], bool]
Change = Callable[[ast.Module], bool]  # changes a tree in place; False where it cannot


def reduced(text: str, holds: Holds, most: int = 400) -> str:
    """The smallest text that greedy steps find for which something still holds: statements are
    dropped, blocks become what is in them, and expressions one of their parts. At most so many
    texts are tried."""
    tries = 0
    changed = True
    while changed:
        changed = False
        tree = ast.parse(text)
        place = 0
        while (steps := _steps(tree, place)) is not None:
            for smaller in steps:
                tries += 1
                if tries > most:
                    return text
                if holds(made := ast.unparse(smaller)):
                    text, tree, changed = made, ast.parse(made), True
                    break
            else:
                place += 1
    return text


def _steps(tree: ast.Module, place: int) -> Iterator[ast.Module] | None:
    """Smaller trees, each with the node of that number changed; None where there is none."""
    nodes = _nodes(tree)
    if place >= len(nodes):
        return None
    return _smaller(tree, place, nodes[place])


def _nodes(tree: ast.Module) -> list[tuple[ast.AST, str, int | None]]:
    """(parent, field, index) of all statements and expressions that may go, the largest first."""
    found = []
    inits = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    whole = {id(statement) for init in inits for statement in init.body}  # or weights get lost
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop(0)
        for field, value in ast.iter_fields(node):
            several = value if isinstance(value, list) else [value]
            for index, child in enumerate(several):
                if isinstance(child, ast.AST):
                    if not isinstance(node, ast.stmt) or id(node) not in whole:
                        queue.append(child)
                    if _may_go(node, field, child):
                        found.append((node, field, index if isinstance(value, list) else None))
    return found


def _may_go(parent: ast.AST, field: str, child: ast.AST) -> bool:
    if isinstance(child, ast.ClassDef) and child.name == "Net":
        return False
    if isinstance(child, ast.FunctionDef):
        return child.name not in ("__init__", "forward", "calls", "normal")
    if isinstance(child, ast.stmt):
        return not isinstance(child, ast.Return | ast.Import | ast.ImportFrom | ast.Pass)
    plain = isinstance(child, ast.Name | ast.Constant | ast.Starred)
    slots = ("targets", "target", "decorator_list", "bases", "annotation", "returns", "slice")
    return isinstance(child, ast.expr) and not plain and field not in (*slots, "func")


def _smaller(
    tree: ast.Module, place: int, at: tuple[ast.AST, str, int | None]
) -> Iterator[ast.Module]:
    parent, field, index = at
    value = getattr(parent, field)
    child = value if index is None else value[index]
    for parts in _parts(child):
        twin = copy.deepcopy(tree)
        node, _, _ = _nodes(twin)[place]
        if index is None:
            if len(parts) == 1:
                setattr(node, field, parts[0])
                yield ast.fix_missing_locations(twin)
        else:
            items: list[Any] = getattr(node, field)
            items[index : index + 1] = copy.deepcopy(parts)
            if not items and field == "body":
                items.append(ast.Pass())
            yield ast.fix_missing_locations(twin)


def _parts(node: ast.AST) -> Iterator[list[ast.AST]]:
    """What may stand in the place of a node."""
    if isinstance(node, ast.stmt):
        yield []
        for field in ("body", "orelse"):
            if getattr(node, field, None) and not isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield getattr(node, field)
        return
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        for i in range(len(node.elts)):
            yield [ast.Tuple(node.elts[:i] + node.elts[i + 1 :], node.ctx)]
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not isinstance(child, ast.Starred):
            yield [child]
