"""Loops over lists that change during the loop: TorchScript takes the length before its loop.

`for y in ys` over a list that the body may change becomes a `while` loop with the semantics of
Python's iterators. Loops over dicts that may change, and others without such a form, are refused.
"""

import ast
import builtins
from collections.abc import Iterator
from typing import Any, final

from runner.graph.frontend.torchscript.desugar.kinds import Bound, Kinds
from runner.graph.frontend.torchscript.desugar.modules import Modules
from runner.graph.frontend.torchscript.source import (
    FunctionSource,
    assign,
    at,
    call,
    copied,
    load,
)
from runner.operators import CHANGES_CONTAINER

_VIEWS = frozenset({"items", "keys", "values"})
_ANYTHING = "?"  # the root of a list that may be any list known elsewhere


def iterate_live(source: FunctionSource) -> None:
    """Rewrites loops over lists that their bodies may change."""
    if any(isinstance(node, ast.For) for node in ast.walk(source.definition)):
        _Loops(source).visit(source.definition)


@final
class _Loops(ast.NodeTransformer):
    """A transformer of the loops of one function."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.kinds = Kinds(source)
        self._modules = Modules(source)

    def visit_For(self, node: ast.For) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        items, counted = node.iter, False
        if isinstance(items, ast.Call) and isinstance(items.func, ast.Name):
            if items.func.id == "range" or not items.args:
                return node
            counted = items.func.id == "enumerate"
            items = items.args[0] if counted else items
            if isinstance(items, ast.Call) and ast.unparse(items.func) == "zip":
                if any(self._changes(node, part) for part in items.args):
                    self._refuse(node, items)
                return node
        if not self._changes(node, items):
            return node
        view = isinstance(items, ast.Call) and getattr(items.func, "attr", "") in _VIEWS
        pair = isinstance(node.target, ast.Tuple) and len(node.target.elts) == 2
        plain = isinstance(node.iter, ast.Call) and len(node.iter.args) > 1
        if view or self.kinds.of(items) == "dict" or node.orelse or (counted and not pair) or plain:
            self._refuse(node, items)
        return self._live(node, items, counted=counted)

    def _refuse(self, node: ast.For, items: ast.expr) -> None:
        self.source.refuse(
            node, f"the loop over {ast.unparse(items)} may change it, which TorchScript does not "
            "see. Loop over a copy",
        )  # fmt: skip

    def _live(self, node: ast.For, items: ast.expr, *, counted: bool) -> list[ast.stmt]:
        """Returns a loop with an index over a list that may change."""
        walked, index = self.source.fresh("items"), self.source.fresh("index")
        item = ast.Subscript(load(walked), load(index), ast.Load())
        targets: Any = node.target
        steps: list[tuple[Any, ast.expr]] = [(targets, item)]
        if counted:
            steps = [(targets.elts[0], load(index)), (targets.elts[1], item)]
        there = ast.Compare(load(index), [ast.Lt()], [call("len", load(walked))])
        onward = ast.BinOp(load(index), ast.Add(), ast.Constant(1))
        body: list[ast.stmt] = [ast.Assign([target], value) for target, value in steps]
        body.append(assign(index, onward))
        start: list[ast.stmt] = [
            assign(walked, items),
            assign(index, ast.Constant(0)),
            ast.While(there, [*body, *node.body], []),
        ]
        return [at(step, node) for step in start]

    # Aliases

    def _changes(self, loop: ast.For, items: ast.expr) -> bool:
        """Returns whether the body of a loop may change the iterated container."""
        if isinstance(items, ast.Call) and getattr(items.func, "attr", "") in _VIEWS:
            items = items.func.value  # type: ignore[attr-defined]
        if isinstance(items, ast.Tuple | ast.List | ast.ListComp) or self._is_module(items):
            return False
        walked = self._roots(items, set())
        return any(
            self._may_be(walked, self._roots(changed, set()), sure=sure)
            for statement in loop.body
            for changed, sure in _changed(statement, dict_too=self._is_dict(loop.iter))
        )

    def _is_dict(self, items: ast.expr) -> bool:
        """Returns whether a loop iterates over a dict."""
        view = isinstance(items, ast.Call) and getattr(items.func, "attr", "") in _VIEWS
        return view or self.kinds.of(items) == "dict"

    def _is_module(self, node: ast.expr) -> bool:
        """Returns whether an expression refers to a container of modules."""
        return bool(self._modules.of(node, self.source.module))

    def _may_be(self, one: frozenset[str], other: frozenset[str], *, sure: bool) -> bool:
        """Returns whether two lists may alias, by their roots; with `sure`, whether they must."""
        if one & other - {_ANYTHING}:
            return True
        if sure or not (_ANYTHING in one or _ANYTHING in other):
            return False
        return all(_ANYTHING in r or any(self._escapes(n) for n in r) for r in (one, other))

    def _roots(self, node: ast.expr, seen: set[str]) -> frozenset[str]:
        """Returns the names of the lists that an expression may refer to."""
        if isinstance(node, ast.Name):
            if node.id in seen:
                return frozenset()
            bound = self.kinds.bindings.get(node.id, [Bound()])
            found: set[str] = set()
            for one in bound:
                fresh = isinstance(one, Bound) or _is_fresh(one)
                found |= {node.id} if fresh else self._roots(one, {*seen, node.id})  # type: ignore[arg-type]
            return frozenset(found)
        if isinstance(node, ast.IfExp):
            return self._roots(node.body, seen) | self._roots(node.orelse, seen)
        if isinstance(node, ast.Attribute):
            return frozenset({ast.unparse(node), _ANYTHING})
        return frozenset() if _is_fresh(node) else frozenset({_ANYTHING})

    def _escapes(self, name: str) -> bool:
        """Returns whether a list may be reachable other than by its name."""
        if any(isinstance(one, Bound) for one in self.kinds.bindings.get(name, [Bound()])):
            return True
        return any(_hands_on(node, name) for node in _before_return(self.source.definition))


def _before_return(node: ast.AST) -> Iterator[ast.AST]:
    """Yields all nodes except those in return statements, after which no loop follows."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Return):
            yield from _before_return(child)


def _hands_on(node: ast.AST, name: str) -> bool:
    """Returns whether a node stores a variable's list under another name, or passes it on."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        parts = node.elts
    elif isinstance(node, ast.Dict):
        parts = node.values
    elif isinstance(node, ast.Assign):
        parts = [node.value]
    elif isinstance(node, ast.Call):
        parts = [] if _keeps_nothing(node) else node.args
    return any(isinstance(part, ast.Name) and part.id == name for part in parts)


def _keeps_nothing(node: ast.Call) -> bool:
    """Returns whether a call neither keeps nor changes a list passed to it."""
    builtin = isinstance(node.func, ast.Name) and hasattr(builtins, node.func.id)
    return builtin or _is_of_torch(node)


def _is_of_torch(node: ast.Call) -> bool:
    """Returns whether a call is of a function of torch, which neither keeps nor returns a list."""
    return ast.unparse(node.func).startswith(("torch.", "F."))


def _is_fresh(node: ast.expr) -> bool:
    """Returns whether an expression makes a new object."""
    part = node
    while isinstance(part, ast.Call | ast.Subscript | ast.Attribute):  # of a tensor, or a tensor
        if isinstance(part, ast.Call) and _is_of_torch(part):
            return True
        part = part.func if isinstance(part, ast.Call) else part.value
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    new = called and node.func.id in ("list", "sorted", "dict")  # type: ignore[attr-defined]
    kinds = (ast.List, ast.ListComp, ast.Dict, ast.DictComp, ast.BinOp, ast.Constant, ast.Tuple)
    return new or isinstance(node, kinds)


def _changed(statement: ast.stmt, *, dict_too: bool) -> Iterator[tuple[ast.expr, bool]]:
    """Yields the containers whose length a statement may change, and whether each is known to be
    a list by its name only."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES_CONTAINER:
                yield node.func.value, False
            given = [] if _keeps_nothing(node) else node.args
            yield from ((part, True) for part in given if isinstance(part, ast.Name))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name | ast.Attribute):
            yield copied(node.target), True
        elif isinstance(node, ast.Delete):
            yield from ((t.value, False) for t in node.targets if isinstance(t, ast.Subscript))
        elif dict_too and isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield node.value, False
