"""What standalone source may import."""

import pytest
from torch import nn

from runner.engines.standalone import check_standalone
from runner.errors import ConfigError
from runner.graph import convert, recording


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
