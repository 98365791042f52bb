"""What a kept class uses of the user's modules comes along, and the file needs nothing else."""

import importlib
import sys
from contextlib import contextmanager

import pytest
import torch
from carried_cases import CASES, HEAD, REFUSED, net

from runner.bare_process import Absent
from runner.engines.standalone import check_standalone, imported_own
from runner.errors import ConfigError
from runner.graph import convert, generate, recording
from runner.graph.codegen.load import load_source

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


@contextmanager
def package(folder, files):
    """The package `pkg` with some files, importable for a while."""
    for name, text in {"__init__": "", **files}.items():
        path = folder / "pkg" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        try:
            yield
        finally:
            forget()


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "pkg"]:
        del sys.modules[name]


def converted():
    with recording():
        model = importlib.import_module("pkg.net").Net()
    return model, convert(model, X)


def alone(text):
    """The model of a source in a process without the package, and without runner."""
    held = {name: module for name, module in sys.modules.items()
            if name.partition(".")[0] in ("pkg", "runner")}  # fmt: skip
    for name in held:
        del sys.modules[name]
    sys.meta_path.insert(0, Absent(["pkg", "runner"]))
    try:
        space = {"__name__": "model"}
        sys.modules["model"] = type(sys)("model")
        exec(compile(text, "model.py", "exec"), space)
        return space["build"]()
    finally:
        del sys.meta_path[0], sys.modules["model"]
        sys.modules.update(held)


@pytest.mark.parametrize("case", CASES)
def test_a_kept_class_brings_along_what_it_uses(case, tmp_path):
    with package(tmp_path, CASES[case]):
        model, graph = converted()
        text = generate(graph, standalone=True)
        assert not [*imported_own(text)], text
        assert "class Net" in text and "# From pkg/" in text
        assert str(tmp_path) not in text
        check_standalone(text, graph, None)
        twin = alone(text)
        assert [*twin.state_dict()] == [*model.state_dict()]
        twin.load_state_dict(model.state_dict())
        assert torch.equal(twin.eval()(X), model.eval()(X)), text
        assert generate(graph, standalone=True) == text


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_travel_is_said_in_one_line(case, tmp_path):
    files, why = REFUSED[case]
    with package(tmp_path, files):
        _, graph = converted()
        text = generate(graph, standalone=True)
        with pytest.raises(ConfigError) as raised:
            check_standalone(text, graph, None)
    said = str(raised.value)
    assert why in said and "export.source=import" in said and "\n" not in said
    assert "(pkg/net.py:" in said and str(tmp_path) not in said


def test_what_is_loaded_is_what_comes_along(tmp_path):
    """A file that was changed after it was imported, and a method that was replaced."""
    with package(tmp_path, {"net": net("BY = 2\n", "x * BY")}):
        _, graph = converted()
        (tmp_path / "pkg" / "net.py").write_text(net("BY = 2\n", "x * BY + 1"))
        with pytest.raises(ConfigError, match=r"Net\.forward\(\) is not what pkg/net\.py defines"):
            check_standalone(generate(graph, standalone=True), graph, None)
    with package(tmp_path / "other", {"net": net("BY = 2\n", "x * BY")}):
        module = importlib.import_module("pkg.net")
        module.Net.forward = lambda self, x: x
        _, graph = converted()
        with pytest.raises(ConfigError, match=r"or the function was replaced"):
            check_standalone(generate(graph, standalone=True), graph, None)


LICENSED = f'''\
#!/usr/bin/env python
# Copyright 2024 The Authors.
# SPDX-License-Identifier: MIT

"""Nets."""

{HEAD}
# How much is added,
# and to what.
MORE = 1
LESS = 2  # in pairs


def more(x):
    """Adds."""
    return x + MORE  # (N, 4)


@basic_unit
class Net(nn.Module):
    """A net."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return more(self.lin(x)) - LESS
'''

WRITTEN = '''\
from torch import nn


# Copyright 2024 The Authors.
# SPDX-License-Identifier: MIT
# From pkg/net.py, line 13.
# How much is added,
# and to what.
MORE = 1
LESS = 2  # in pairs


# From pkg/net.py, line 17.
def more(x):
    """Adds."""
    return x + MORE  # (N, 4)


# From pkg/net.py, line 22.
class Net(nn.Module):
    """A net."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return more(self.lin(x)) - LESS


def build():
    return Net()
'''


def test_what_comes_along_reads_as_it_was_written(tmp_path):
    with package(tmp_path, {"net": LICENSED}):
        _, graph = converted()
        assert load_source(generate(graph, standalone=True)).build()
        assert generate(graph, standalone=True).replace("import torch\n", "", 1) == WRITTEN
