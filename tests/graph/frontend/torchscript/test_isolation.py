"""What is converted does not depend on what was compiled before, nor does it change that."""

import itertools

import pytest
import torch
from snippets import HEAD, module_of

from runner.graph.frontend.convert import convert

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit.script
SOURCE = (
    HEAD
    + """
import torch.nn.functional as F

def helper(x):
    if torch.jit.is_scripting():
        return x * 0
    return x * 2

def outer():
    def helper(x):
        return x * 5
    return helper

inner = outer()

class Pair:
    def __init__(self, a: int):
        self.a = a

class Layer(nn.Module):
    def __init__(self, big):
        super().__init__()
        self.big = big
    def forward(self, x):
        if self.big and not torch.jit.is_scripting():
            return x * 10
        return x + 1

class Helped(nn.Module):
    def forward(self, x):
        return helper(x)

class Shadowed(nn.Module):
    def forward(self, x):
        return inner(x) + helper(x)

class Resized(nn.Module):
    def forward(self, x):
        return F.interpolate(x[None], scale_factor=2.0).sum() * Pair(3).a

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Layer(False), Layer(True)
    def forward(self, x):
        return self.b(self.a(x)), self.a.big or 4
"""
)
NAMES = ("Helped", "Shadowed", "Resized", "Both")


def read(module, name: str) -> str:
    """The graph of a model, as text."""
    graph = convert(getattr(module, name)(), frontend="torchscript")
    return str(graph) + str([note.text for note in graph.notes])


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """Each model read first in a process: its module is a new one."""
    return {name: _plain(module_of(SOURCE), name) for name in NAMES}


def _plain(module, name: str) -> str:
    return read(module, name).replace(module.__name__, "snippet")


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(NAMES, 2)])
def test_model_is_read_as_if_it_were_alone(first: str, second: str, alone: dict[str, str]) -> None:
    module = module_of(SOURCE)
    read(module, first)
    assert _plain(module, second) == alone[second]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_scripted_before_changes_nothing(name: str, alone: dict[str, str]) -> None:
    module = module_of(SOURCE)
    torch.jit.script(module.helper)
    torch.jit.script(getattr(module, name)())
    assert _plain(module, name) == alone[name]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_scripted_afterwards_is_torchs_own(name: str) -> None:
    x = torch.ones(1, 2, 3)
    module, other = module_of(SOURCE), module_of(SOURCE)
    expected = torch.jit.script(getattr(other, name)())(x)
    read(module, name)
    assert str(torch.jit.script(getattr(module, name)())(x)) == str(expected)


def test_modules_of_one_class_that_differ_in_what_was_decided_are_of_two_types() -> None:
    module = module_of(SOURCE)
    graph = convert(module.Both(), frontend="torchscript")
    a, b = (graph.root.children[name] for name in ("a", "b"))
    assert a is not None and b is not None
    texts = [str(unit.functions["forward"].nodes[0].args[1]) for unit in (a, b)]
    assert texts == ["1", "10"]
