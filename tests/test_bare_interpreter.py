"""A model counts as stand-alone if an interpreter without `runner` makes the same of it."""

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from runner.bare_interpreter import BareInterpreter
from runner.errors import RunnerError
from runner.trial import MODEL

SOURCE = """\
import torch
from torch import nn


def load():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    from safetensors.torch import load_model
    from pathlib import Path
    load_model(model, str(Path(__file__).with_name("weights.safetensors")))
    return model.eval()
"""
X = [torch.randn(2, 3, generator=torch.Generator().manual_seed(0))]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    folder = tmp_path_factory.mktemp("here")
    (folder / "table.txt").write_text("2.0")
    with BareInterpreter() as made, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SCALE_OF_MINE", "2.0")
        made.start()
        yield made


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).eval()


def written(folder, model, source=SOURCE):
    (folder / MODEL).write_text(source)
    save_model(model, str(folder / "weights.safetensors"))
    return folder


def test_a_model_that_stands_alone_is_accepted(bare, model, tmp_path):
    bare.check(written(tmp_path, model), model, X)
    bare.check(tmp_path, model, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [MODEL, "weights.safetensors"]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("import torch\n", "import runner.nn\n", "No module named 'runner"),
        ("import torch\n", "from spaces import mlp\n", "No module named 'spaces"),
        ("import torch\n", "import toy\n", "No module named 'toy'"),
        ("import torch\n", "import yaml\n", "No module named 'yaml'"),  # said to be absent
        ("import torch\n", "import torch; open('table.txt')\n", "FileNotFoundError: [Errno 2]"),
        (
            "import torch\n",
            "import torch, os; os.environ['SCALE_OF_MINE']\n",
            "KeyError: 'SCALE",
        ),
        ("import torch\n", "import torch, os; os._exit(3)\n", "ended with exit code 3"),
        ("import torch\n", "raise SystemExit('no\\n\\nway')\n", "SystemExit: no way"),
        ("nn.Dropout(0.5)", "nn.Tanh()", "its output differs from that of the trained model"),
        ("return model.eval()", "return nn.ModuleDict({'a': model})", "state_dict has other names"),
        ("return model.eval()", "model.forward = lambda x: [x]; return model", "other parts: len("),
        ("return model.eval()", "model.forward = lambda x: 3; return model", "its output is '3', "),
    ],
)
def test_one_that_does_not_is_refused_with_the_reason(bare, model, tmp_path, old, new, text):
    folder = written(tmp_path, model, SOURCE.replace(old, new, 1))
    with pytest.raises(RunnerError) as raised:
        bare.check(folder, model, X, absent=["yaml"])
    assert text in str(raised.value) and "\n" not in str(raised.value)
    bare.check(written(tmp_path, model), model, X)  # the next one is tried as if nothing had been


def test_outputs_are_compared_bit_by_bit_with_everything_seeded(bare, tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()  # it draws
    source = SOURCE.replace("return model.eval()", "return model.train()")
    bare.check(written(tmp_path, model, source), model, X)
    nudged = source.replace("return model", "model[0].bias.data += 1e-7; return model")
    with pytest.raises(RunnerError, match="differs"):
        bare.check(written(tmp_path, model, nudged), model, X)


def test_a_model_that_raises_must_raise_alike(bare, model, tmp_path):
    wrong = [torch.zeros(2, 7)]
    bare.check(written(tmp_path, model), model, wrong)
    other = SOURCE.replace("return model.eval()", "model.forward = lambda x: x.oops; return model")
    with pytest.raises(RunnerError, match="its error is 'AttributeError', not 'RuntimeError'"):
        bare.check(written(tmp_path, model, other), model, wrong)
