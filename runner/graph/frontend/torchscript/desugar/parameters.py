"""Types of parameters that the source leaves open, which are all Tensors to TorchScript.

A parameter that is None by default may be a Tensor or None: taken for a Tensor, a test of it would
be decided before anybody calls the function. One with a plain default is of the type of that.
"""

import ast

from runner.graph.frontend.torchscript.desugar.source import UNKNOWN, FunctionSource, at, load

_PLAIN = {bool: "bool", int: "int", float: "float", str: "str"}


def annotate_defaults(source: FunctionSource) -> None:
    """Annotates the parameters of a function that have a default, and no type."""
    arguments = source.definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first = len(positional) - len(arguments.defaults)
    pairs = [*zip(positional[first:], arguments.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
    for argument, default in pairs:
        if argument.annotation is None and not argument.type_comment:
            argument.annotation = _annotation(source, argument.arg, default)


def _annotation(source: FunctionSource, name: str, default: ast.expr) -> ast.expr | None:
    """The type of a parameter with a default; None where TorchScript is right, or has to ask."""
    value = default.value if isinstance(default, ast.Constant) else source.value_of(default)
    if value is None:
        return at(_optional(), default) if _may_matter(source, name) else None
    if value is UNKNOWN or type(value) not in _PLAIN:
        return None
    return at(load(_PLAIN[type(value)]), default)


def _optional() -> ast.expr:
    return ast.Subscript(load("Optional"), load("Tensor"), ast.Load())


def _may_matter(source: FunctionSource, name: str) -> bool:
    """Whether something may depend on a parameter being None: the function compares it, or hands it
    on to what may."""
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
