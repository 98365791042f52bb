"""What standalone source may import."""

import importlib

import pytest
import torch
from torch import nn

from runner.engines.standalone import check_standalone
from runner.errors import ConfigError
from runner.graph import convert, generate, recording


@pytest.fixture
def graph():
    with recording():
        model = nn.Sequential(nn.Linear(2, 2))
    return convert(model)


@pytest.mark.parametrize("module", ["torch.nn", "math", "numpy", "omegaconf.dictconfig", "yaml"])
def test_torch_and_installed_libraries_may_be_imported(graph, module):
    check_standalone(f"import {module}\nfrom {module} import thing\n", graph, None)


@pytest.mark.parametrize("module", ["runner.nn", "spaces.resnet", "programs", "no_such_module"])
def test_this_project_and_modules_of_users_may_not(graph, module):
    with pytest.raises(ConfigError, match=f"it needs {module}:thing"):
        check_standalone(f"from {module} import thing\n", graph, None)
    with pytest.raises(ConfigError, match="installed libraries, but it needs"):
        check_standalone(f"import {module}\n", graph, None)


class ByName(nn.Module):
    """Imports a module of a user by its name, on a path that an example does not take."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, x):
        x = self.lin(x)
        if x.sum() > 1e9:
            return importlib.import_module("unwritable").f(x)
        return x


class TrainsByName(nn.Linear):
    def train(self, mode=True):
        if mode == "never":
            importlib.import_module("unwritable")
        return super().train(mode)

    def forward(self, x):
        return super().forward(x) + 1


@pytest.mark.parametrize("cls", [ByName, lambda: TrainsByName(2, 2)])
def test_a_module_that_is_imported_by_its_name_may_not(cls):
    with recording():
        model = cls()
    graph = convert(model, torch.zeros(1, 2))
    text = generate(graph, standalone=True)
    with pytest.raises(ConfigError, match=r"import_module\('unwritable'\) imports or runs code"):
        check_standalone(text, graph, None)
    check_standalone(text.replace("unwritable", "json"), graph, None)


def test_a_function_of_the_source_may_have_the_name_of_a_builtin(graph):
    check_standalone("def eval(x):\n    return x\n\n\ndef f(x):\n    return eval(x)\n", graph, None)
