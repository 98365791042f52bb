"""Side effects of nodes agree with what torch's schemas say of their functions."""

from importlib import import_module

import pytest
import torch

from runner.graph.ir.effects import WRITE, of_function


def writes(name):
    """Whether a schema of torch lets a function change a tensor that it is given."""
    return any(
        not argument.is_out and argument.alias_info is not None and argument.alias_info.is_write
        for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}")
        for argument in schema.arguments
        if str(argument.type) in ("Tensor", "Optional[Tensor]")
    )


@pytest.mark.parametrize("module", ["torch", "torch.nn.functional"])
def test_a_function_that_writes_a_tensor_has_an_effect(module):
    names = [name for name in dir(import_module(module)) if not name.startswith("__")]
    writing = [name for name in names if writes(name)]
    assert len(writing) > 5
    assert [name for name in writing if of_function(f"{module}:{name}") != WRITE] == []
