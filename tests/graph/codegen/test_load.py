"""Generated source as a module."""

import gc
import inspect
import linecache
import sys
import traceback

import pytest
import torch

from runner.errors import GraphError
from runner.graph.codegen.load import load_file, load_source, save_tensors
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit

TEXT = """import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return x / self.nothing


def build():
    return Net()
"""
WITH_TENSORS = """from pathlib import Path
from safetensors.torch import load_file

CONSTANTS = load_file(Path(__file__).with_name("constants.safetensors"))


def build():
    return CONSTANTS["c0"] + 1
"""


def test_tracebacks_show_the_lines_of_the_source():
    model = load_source(TEXT).build()
    with pytest.raises(AttributeError) as caught:
        model(torch.ones(1))
    assert "return x / self.nothing" in "".join(traceback.format_exception(caught.value))
    assert "x / self.nothing" in inspect.getsource(type(model).forward)


def test_modules_of_one_name_do_not_meet():
    one, other = load_source(TEXT), load_source(TEXT.replace("nothing", "other"))
    assert "nothing" in inspect.getsource(one.Net.forward)
    assert "other" in inspect.getsource(other.Net.forward)
    assert one.__name__ not in sys.modules


def test_tensors_come_along(tmp_path):
    tensors = {"c0": torch.arange(6.0).reshape(2, 3).t()}
    assert torch.equal(load_source(WITH_TENSORS, tensors).build(), tensors["c0"] + 1)
    graph = Graph(Unit.of("torch.nn:ReLU"))
    assert save_tensors(graph) == b""
    graph.tensors = tensors
    (tmp_path / "constants.safetensors").write_bytes(save_tensors(graph))
    (tmp_path / "model.py").write_text(WITH_TENSORS)
    assert torch.equal(load_file(tmp_path / "model.py").build(), tensors["c0"] + 1)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["constants.safetensors", "model.py"]


def test_a_tensor_that_no_file_can_hold_is_named():
    graph = Graph(Unit.of("torch.nn:ReLU"))
    graph.tensors = {"odd": torch.eye(2).to_sparse()}
    with pytest.raises(GraphError, match=r"odd \(torch.float32, torch.sparse"):
        save_tensors(graph)


def test_many_sources_do_not_pile_up():
    kept = load_source("def first(): pass\n", name="pile").first
    for i in range(10):
        load_source(f"def number(): return {i}\n", name="pile")
    gc.collect()
    assert sum(name.startswith("<pile ") for name in linecache.cache) == 1
    assert inspect.getsource(kept) == "def first(): pass\n"
