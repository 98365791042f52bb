"""`nonzero(as_tuple=True)`, which is another operator to TorchScript."""

import ast
from typing import final

import torch

from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource, at


def name_indices(source: FunctionSource) -> None:
    """Rewrites `torch.nonzero(x, as_tuple=True)` and `x.nonzero(as_tuple=True)`."""
    _Indices(source).visit(source.definition)


@final
class _Indices(ast.NodeTransformer):
    def __init__(self, source: FunctionSource) -> None:
        self._source = source

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        tensor = self._tensor(node)
        if tensor is None or [keyword.arg for keyword in node.keywords] != ["as_tuple"]:
            return node
        told = node.keywords[0].value
        if not isinstance(told, ast.Constant):
            return node
        name = "nonzero_numpy" if told.value else "nonzero"
        return at(ast.Call(ast.Attribute(tensor, name, ast.Load()), [], []), node)

    def _tensor(self, node: ast.Call) -> ast.expr | None:
        """Returns the tensor whose nonzero elements are looked up; None for another call."""
        function = node.func
        if self._source.value_of(function) is torch.nonzero and len(node.args) == 1:
            return node.args[0]
        is_method = isinstance(function, ast.Attribute) and function.attr == "nonzero"
        if is_method and not node.args and self._source.value_of(function) is UNKNOWN:
            return function.value  # type: ignore[attr-defined, no-any-return]
        return None
