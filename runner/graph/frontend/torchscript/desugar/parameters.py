"""Types of parameters without annotation, which TorchScript takes for Tensors.

A parameter with the default None may be a Tensor or None: as a Tensor, tests of it would be folded
when the function is compiled. A parameter with a plain default has the type of that.
"""

import ast

from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource, at, load

_PLAIN = {bool: "bool", int: "int", float: "float", str: "str"}


def annotate_defaults(source: FunctionSource) -> None:
    """Annotates parameters that have a default, but no type."""
    arguments = source.definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first = len(positional) - len(arguments.defaults)
    pairs = [*zip(positional[first:], arguments.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
    for argument, default in pairs:
        if argument.annotation is None and not argument.type_comment:
            argument.annotation = _annotation(source, argument.arg, default)


def _annotation(source: FunctionSource, name: str, default: ast.expr) -> ast.expr | None:
    """Returns the type of a parameter with a default; None to leave it to TorchScript."""
    value = default.value if isinstance(default, ast.Constant) else source.value_of(default)
    if value is None:
        return at(_optional(), default) if _may_matter(source, name) else None
    if value is UNKNOWN or type(value) not in _PLAIN:
        return None
    return at(load(_PLAIN[type(value)]), default)


def _optional() -> ast.expr:
    return ast.Subscript(load("Optional"), load("Tensor"), ast.Load())


def _may_matter(source: FunctionSource, name: str) -> bool:
    """Returns whether something may depend on a parameter being None: it is compared, passed on or
    assigned."""
    for node in ast.walk(source.definition):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Call):
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Assign):
            parts = [node.value]
        else:
            continue
        if any(isinstance(part, ast.Name) and part.id == name for part in parts):
            return True
    return False
