"""In-place writes and random draws that TorchScript would drop.

It drops unused results, also those of random operators, on which later random numbers depend. And
it relies on schemas, by which a few operators return new tensors though they may return views
(`atleast_2d`, `broadcast_tensors`, `type_as`): writes to these seem unused. Here such results, and
such written tensors, are printed, and lowering drops the print.
"""

import ast

from runner.graph.frontend.torchscript.desugar.effects import (
    changes_lists,
    draws,
    facts_of,
    is_undeclared_view,
    writes,
)
from runner.graph.frontend.torchscript.desugar.pure import root_of
from runner.graph.frontend.torchscript.schema import KEPT
from runner.graph.frontend.torchscript.source import FunctionSource, at, call, load


def keep_effects(source: FunctionSource) -> None:
    """Makes TorchScript keep all random draws of a function, and all writes if it uses views
    that are not declared as such."""
    calls = [node for node in ast.walk(source.definition) if isinstance(node, ast.Call)]
    for change in calls:
        if changes_lists(source, change):
            source.refuse(change, f"TorchScript drops the writes of {ast.unparse(change.func)} to "
                                  "the tensors of a list. Change them one by one")  # fmt: skip
    has_views = any(is_undeclared_view(source, node) for node in calls)
    if not has_views and not any(draws(source, node) for node in calls):
        return
    if source.value_of(load("print")) is not print:
        source.refuse(source.definition, "`print` is another function here; rename it")
    for node in ast.walk(source.definition):
        for name in ("body", "orelse"):
            if isinstance(block := getattr(node, name, None), list):
                kept = [step for each in block for step in _kept(source, each, writes=has_views)]
                setattr(node, name, kept)


def _kept(source: FunctionSource, step: ast.stmt, *, writes: bool) -> list[ast.stmt]:
    """Returns a statement, followed by uses of values that it draws or, if `writes`, changes."""
    if not isinstance(step, ast.Expr | ast.Assign | ast.AnnAssign | ast.AugAssign):
        return [step]
    if step.value is None:
        return [step]
    drawn = any(draws(source, n) for n in ast.walk(step.value) if isinstance(n, ast.Call))
    changes = writes and _writes(source, step.value)
    if isinstance(step, ast.Expr):
        return [_used(step.value, step)] if drawn or changes else [step]
    targets = step.targets if isinstance(step, ast.Assign) else [step.target]
    parts = [each for target in targets for each in _each(target)]
    kept: list[ast.expr] = [part for part in parts if drawn and isinstance(part, ast.Name)]
    if writes and not isinstance(step, ast.AnnAssign):
        augments = isinstance(step, ast.AugAssign)
        kept += [p for p in parts if changes or augments or isinstance(p, ast.Subscript)]
    roots = [_root(source, part) for part in kept]
    return [step, *(_used(root, step) for root in roots if root is not None)]


def _root(source: FunctionSource, part: ast.expr) -> ast.expr | None:
    """Returns the variable that is written to; None for the module, whose writes are never
    dropped."""
    root = root_of(part, subscripts=True)
    if not isinstance(root, ast.Name):
        source.refuse(part, f"TorchScript may drop writes to {ast.unparse(root)}; assign it to a "
                            "variable first")  # fmt: skip
    return None if root.id == source.itself else load(root.id)


def _writes(source: FunctionSource, value: ast.expr) -> bool:
    """Returns whether an expression changes a tensor in place."""
    calls = (node for node in ast.walk(value) if isinstance(node, ast.Call))
    return any((found := facts_of(source, call)) and writes(call, found) for call in calls)


def _each(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [inner for item in target.elts for inner in _each(item)]
    return [target.value] if isinstance(target, ast.Starred) else [target]


def _used(value: ast.expr, like: ast.stmt) -> ast.stmt:
    return at(ast.Expr(call("print", ast.Constant(KEPT), value)), like)
