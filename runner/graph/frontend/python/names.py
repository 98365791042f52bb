"""Names in loops: which variables the node of a loop carries from one iteration to the next."""

import ast
from collections.abc import Iterator

LoopStatement = ast.For | ast.While


def carried_names(function: ast.AST, loop: LoopStatement) -> tuple[list[str], dict[str, str]]:
    """Returns the variables that a loop carries, and those that have no value after it, with the
    reason: they are assigned in every iteration before they are read, and not read after it."""
    stored = [*dict.fromkeys(_stored(loop))]
    outside = {*_loaded_outside(function, loop)}
    early = _read_before_assigned(loop)
    carried = [name for name in stored if name in outside or name in early]
    lost = {name: f"{name} is read after the loop that assigns it" for name in stored}
    return carried, {name: why for name, why in lost.items() if name not in carried}


def _stored(loop: LoopStatement) -> Iterator[str]:
    for node in _own(loop):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.MatchAs | ast.MatchStar):
            yield from [node.name] if node.name is not None else []
        elif isinstance(node, ast.MatchMapping) and node.rest is not None:
            yield node.rest


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yields a node and those inside, without the targets of comprehensions and without functions'
    own variables."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.comprehension):
            yield from _own(child.iter)
            for test in child.ifs:
                yield from _own(test)
        elif isinstance(child, ast.FunctionDef):
            yield child
        elif not isinstance(child, ast.Lambda):
            yield from _own(child)


def _loaded_outside(node: ast.AST, loop: LoopStatement) -> Iterator[str]:
    if node is loop:
        inner = loop.iter if isinstance(loop, ast.For) else None
        for part in (inner, *loop.orelse):
            if part is not None:
                yield from _loaded(part)
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    for child in ast.iter_child_nodes(node):
        yield from _loaded_outside(child, loop)


def _loaded(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
            yield inner.id
        elif isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name):
            yield inner.target.id


def _read_before_assigned(loop: LoopStatement) -> set[str]:
    """Returns the variables that an iteration may read before it assigns them."""
    early: set[str] = set()
    assigned: set[str] = set()
    if isinstance(loop, ast.For):
        assigned |= {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
    else:
        early |= {*_loaded(loop.test)}
    for statement in loop.body:
        early |= {*_loaded(statement)} - assigned
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                assigned |= {
                    n.id for n in ast.walk(target)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                }  # fmt: skip
        elif _may_skip(statement):
            break
    rest = loop.body[loop.body.index(statement) + 1 :] if loop.body else []
    for later in rest:
        early |= {*_loaded(later)} - assigned
    return early | ({*_stored(loop)} - assigned if _jumps(loop) else set())


def _may_skip(statement: ast.stmt) -> bool:
    """Returns whether a statement may skip those after it."""
    return any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in ast.walk(statement))


def _jumps(loop: LoopStatement) -> bool:
    return any(_may_skip(statement) for statement in loop.body)
