"""Bools combined with tensors, which TorchScript converts to ints: the result has another dtype.

`mask & True` is `mask & 1` to it, an int64. The conversion of a bool variable is visible to
lowering, which drops it; that of a constant is not, so constants are hidden.
"""

import ast
import functools
from typing import final

import torch

from runner.graph.frontend.torchscript.desugar.constants import hide
from runner.graph.frontend.torchscript.source import FunctionSource


def keep_bools(source: FunctionSource) -> None:
    """Rewrites a bool that may be combined with a tensor to `[True][0]`, which TorchScript
    leaves alone and lowering takes for the bool."""
    _Bools(source).visit(source.definition)


@final
class _Bools(ast.NodeTransformer):
    def __init__(self, source: FunctionSource) -> None:
        self._source = source

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        self.generic_visit(node)
        node.left, node.right = self._kept(node.left), self._kept(node.right)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        self.generic_visit(node)
        if all(isinstance(target, ast.Name) for target in node.targets):
            node.value = self._kept(node.value)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AugAssign:
        self.generic_visit(node)
        node.value = self._kept(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        name = getattr(node.func, "attr", "")
        numbers = _numbers_of(name) if any(map(self._is_bool, _given(node))) else frozenset()
        if numbers:
            node.args = [self._kept(arg) for arg in node.args]
            for keyword in node.keywords:
                if keyword.arg in numbers:
                    keyword.value = self._kept(keyword.value)
        return node

    def _kept(self, value: ast.expr) -> ast.expr:
        return hide(value) if self._is_bool(value) else value

    def _is_bool(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Constant):
            return type(value.value) is bool
        return type(self._source.attribute(value)) is bool


def _given(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]


@functools.lru_cache(maxsize=4096)
def _numbers_of(name: str) -> frozenset[str]:
    """Returns the parameters of an operator that may be any number, also a bool."""
    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}") if name else []
    return frozenset(
        argument.name
        for schema in schemas
        for argument in schema.arguments
        if "number" in str(argument.type) or "Scalar" in str(argument.type)
    )
