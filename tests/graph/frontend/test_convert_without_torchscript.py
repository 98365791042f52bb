"""A model that is read from its source needs nothing of TorchScript: Python 3.14 has none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = '''
import sys
from types import ModuleType, SimpleNamespace


class Missing:
    """Finds that the front end of TorchScript is not installed, and notes who looks for it."""

    sought = []

    def find_spec(self, name, path=None, target=None):
        if name.startswith("runner.graph.frontend.torchscript"):
            self.sought.append(name)
            raise ImportError(name)


def banned(*args, **kwargs):
    Missing.sought.append("torch._C._jit_*")
    raise AssertionError("TorchScript is used")


sys.meta_path.insert(0, Missing())
import torch
from torch import nn

REGISTRY = ("_jit_get_operation", "_jit_get_schemas_for_operator")  # which torch.ops reads too
for name in dir(torch._C):
    if name.startswith("_jit_") and name not in REGISTRY:
        setattr(torch._C, name, banned)


class Guarded(ModuleType):
    """torch.jit to torch itself, which uses it; not there for others."""

    def __getattribute__(self, name):
        asking = sys._getframe(1).f_globals.get("__name__", "")
        if name[:2] != "__" and asking.partition(".")[0] == "runner":
            Missing.sought.append(f"torch.jit.{name} by {asking}")
            raise AttributeError(name)
        return getattr(jit, name)


jit = torch.jit
torch.jit = sys.modules["torch.jit"] = Guarded("torch.jit")

from runner.graph import check_conversion, convert, generate, recording
from runner.graph.frontend import frontends

frontends.sys = SimpleNamespace(version_info=(3, 14, 0))


class Doubles(nn.Module):
    def forward(self, x):
        return x * 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Doubles(), nn.Linear(2, 3))
        self.head = Kept()

    def forward(self, x):
        return self.head(self.body(x))


class Kept(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, *xs):
        try:
            return self.norm(*xs)
        finally:
            self.calls = len(xs)


with recording():
    model = Net()
x = torch.randn(4, 2)
graph = convert(model, x)
assert graph.grades() == {"graph": 3, "shell": 1, "basic": 2, "symbolic": 0}, graph.grades()
assert "torch" in generate(graph)
assert not any("torchscript" in note.text.lower() for note in graph.notes), graph.notes
check_conversion(model, x).raise_if_wrong()

from runner.launch import run

found = run(["engine=base", "space=cell", "budget.trials=1",
             "data=digits", "evaluator.epochs=1"], "searched")
assert len(found.trials) == 1 and found.best.number == 0
assert not Missing.sought, Missing.sought
'''


@pytest.mark.exhaustive
def test_nothing_of_torchscript_is_imported_or_used(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    places = [str(path) for path in (tmp_path, ROOT, ROOT / "tests/toys")]
    done = subprocess.run(
        [sys.executable, "-c", "import program"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
