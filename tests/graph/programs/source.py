"""How the forward of a module is written, to be compared."""

import ast
import copy
from typing import Any

from torch import nn

from runner.graph.codegen.generate import generate
from runner.graph.frontend.convert import convert
from runner.graph.ir.graph import Graph
from runner.graph.validation.conversion_check import check_conversion


def body(graph: Graph) -> str:
    """The lines of forward as generated, without its margin."""
    source = generate(graph)
    tree = ast.parse(source)
    (made,) = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "forward")
    lines = source.splitlines()[made.body[0].lineno - 1 : made.end_lineno]
    return "\n".join(line[8:] for line in lines)


def written(model: nn.Module, *inputs: Any) -> str:
    """How forward is written, which gives what the model gives."""
    check_conversion(model, *copy.deepcopy(inputs)).raise_if_wrong()
    return body(convert(model))
