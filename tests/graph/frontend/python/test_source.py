"""The source of functions: found where it is, and refused where it is not what runs."""

import ast
import importlib
import linecache
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from runner.graph.codegen.generate import generate
from runner.graph.frontend.convert import convert
from runner.graph.frontend.python.source import FunctionSources, Unreadable, place
from runner.graph.validation.conversion_check import check_conversion

NET = """\
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        {}
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a module that can be imported; returns it with its file."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str, name: str):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, name, module)
        return module, file

    return write


def rewrite(file: Path, text: str) -> None:
    file.write_text(text)
    linecache.clearcache()


CHANGES = {
    "another operation": ("return x + 1", "return x - 1"),
    "another name": ("return x.sin()", "return x.cos()"),
    "another number": ("return x + 1", "return x + 2"),
    "another text": ("return x, 'a'", "return x, 'b'"),
    "another default": ("return (lambda k=1: x + k)()", "return (lambda k=2: x + k)()"),
    "another lambda": ("return (lambda y: y + 1)(x)", "return (lambda y: y + 2)(x)"),
    "a line more": ("return x + 1", "x = x * 2\n        return x + 1"),
    "no longer there": ("return x + 1", "pass\nNet = None"),
    "no Python any more": ("return x + 1", "return x +"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_file_that_changed_is_not_read(written, before, after, request):
    name = f"changed_{abs(hash(request.node.name))}"
    module, file = written(NET.format(before), name)
    rewrite(file, NET.format(after))
    graph = convert(module.Net(), frontend="python")
    assert graph.root.grade == "basic"
    assert (
        f"{name}.py:5: the source of Net.forward is not available, or has changed since it was "
        "imported" in graph.notes[0].text
    )


def test_a_file_that_changed_elsewhere_is_read(written):
    module, file = written(NET.format("return x + 1"), "changed_elsewhere")
    rewrite(file, NET.format("return x + 1") + "\n\nother = 2\n")
    assert convert(module.Net(), frontend="python").root.grade == "graph"


def test_a_function_that_moved_is_not_read_from_where_it_was(written):
    text = "def one(x):\n    return x + 1\n\n\ndef two(x):\n    return x + 2\n\n\n"
    net = NET.format("return one(x)")
    module, file = written(text + net, "moved")
    rewrite(file, text.replace("one", "tmp").replace("two", "one").replace("tmp", "two") + net)
    graph = convert(module.Net(), frontend="python")
    model = module.Net()
    if graph.root.grade == "graph":
        assert "x + 2" not in generate(graph, standalone=True)
    check_conversion(model, torch.ones(2), frontend="python").raise_if_wrong()


def test_a_class_without_source_is_refused(monkeypatch):
    module = types.ModuleType("made_of_nothing")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(NET.format("return x + 1"), vars(module))
    graph = convert(module.Net(), frontend="python")
    assert graph.root.grade == "basic"
    assert "<string>:5: the source of Net.forward is not available" in graph.notes[0].text


class Relu(nn.Module):
    forward = staticmethod(torch.relu)


def test_a_forward_without_code_is_refused():
    graph = convert(Relu(), frontend="python")
    assert graph.root.grade == "basic" and "has no source" in graph.notes[0].text


ONE, TWO = lambda x: x + 1, lambda x: x - 1
BOTH = [lambda x, k=1: x * k, lambda x, k=2: x * k]
SAME = [lambda x: x, lambda x: x]


def chosen(flag):
    return (lambda x: x * 3) if flag else (lambda x: x * 4)


LONG = [
    lambda x: (
        x + 5
    ),
    lambda x: x
    + 6,
]  # fmt: skip
LAMBDAS = {
    "x + 1": ONE, "x - 1": TWO, "x * k": BOTH[1], "x": SAME[1], "x * 3": chosen(True),
    "x * 4": chosen(False), "x + 5": LONG[0], "x + 6": LONG[1],
}  # fmt: skip


@pytest.mark.parametrize("text", LAMBDAS)
def test_a_lambda_is_told_from_others_in_its_line(text):
    found = FunctionSources().definition(LAMBDAS[text])
    assert ast.unparse(found.node.body) == text
    assert place(found.file, found.node).startswith("test_source.py:")


def test_each_of_several_functions_of_a_name_is_found():
    def f(x):
        return x + 1

    one = f

    def f(x):
        return x + 2

    sources = FunctionSources()
    first, second = sources.definition(one), sources.definition(f)
    assert first.node.lineno < second.node.lineno
    assert sources.definition(one) is first


@pytest.mark.parametrize("thing", [len, torch.relu, nn.Linear, 3, print])
def test_what_is_no_function_of_python_has_no_source(thing):
    with pytest.raises(Unreadable, match="has no source"):
        FunctionSources().definition(thing)
