"""Access to TorchScript's nodes: where they are in the source."""

import ast
from pathlib import Path

import pytest
import torch

from runner.graph.frontend.torchscript import lowering, schema
from runner.graph.frontend.torchscript.schema import error_at, line_of


def adds(x: torch.Tensor):
    return x + 1


MADE_BY_HAND = torch._C.Graph()
FROM_NOWHERE = MADE_BY_HAND.create("prim::None")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("it sets a.b.", "It sets a.b."),
        ("the index is long.", "The index is long."),
        ("prim::None has no equivalent.", "prim::None has no equivalent."),
        ("item is unknown.", "item is unknown."),
    ],
)
def test_an_error_of_a_node_without_a_place_does_not_start_with_an_empty_one(text, sentence):
    assert line_of(FROM_NOWHERE) == ""
    assert str(error_at(FROM_NOWHERE, text)) == sentence


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_an_error_of_a_node_starts_with_its_place():
    node = next(n for n in torch.jit.script(adds).graph.nodes() if n.kind() == "aten::add")
    assert line_of(node).startswith("test_schema.py:")
    assert str(error_at(node, "it adds.")) == f"{line_of(node)}: it adds."


def test_only_one_function_writes_a_place_before_a_text():
    folder = Path(next(iter(lowering.__path__)))
    for file in [*folder.glob("*.py"), Path(schema.__file__)]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                assert "line_of(" not in ast.unparse(node), file
