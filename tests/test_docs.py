"""Every command and every piece of code in the docs does what it says, in less time."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIM = ROOT / "tests" / "toys" / "shim"
DOCS = ["README.md", "CONTRIBUTING.md"]
QUICK = ["budget.trials=2", "export.top=1", "data.shape=[1,8,8]"]
TRAIN = """
import torch


def train(model, report, data, device):
    [(x, y)] = data.validation.batches(10_000, device)
    for epoch in range(3):
        report((model(x).argmax(1) == y).float().mean())
"""


def blocks(language: str) -> list[str]:
    text = "\n".join((ROOT / name).read_text() for name in DOCS)
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [command for line in lines if (command := line.split("  #")[0].strip())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A user's folder, with the README's own space and training function in `mypkg`."""
    folder = tmp_path_factory.mktemp("user")
    [space] = [block for block in blocks("python") if "model_wrapper" in block]
    [mutator] = [block for block in blocks("python") if "(Mutator)" in block]
    (folder / "mypkg.py").write_text(mutator + space + TRAIN)
    run(folder, "python -m runner space=mlp")
    return folder


FIRST = (
    "python -m runner",
    "python -m runner --help",
    "python -m runner task=describe space=resnet",
)


def is_large(command: str) -> bool:
    return "resnet18" in command or "mutate_resnet" in command or "layer3" in command


def run(folder: Path, command: str) -> str:
    """Run a `python -m runner` command of the docs, made quick."""
    arguments = shlex.split(command)[1:]
    if is_large(command):
        quick = [*QUICK[:-1], "data.shape=[3,16,16]"]  # as colour images
        for package in ("torchvision", *(["timm"] if "timm" in command else [])):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed")
    else:
        quick = [*QUICK]
    quick += [] if "evaluator=function" in arguments else ["evaluator.epochs=1"]
    if any(argument.startswith("fidelity=") for argument in arguments):
        quick = []  # two trials would not reach the highest rung
    if arguments.count("-m") > 1:  # a sweep
        quick += ["training=inline"]
    elif not any(argument.startswith("training=") for argument in arguments):
        quick += ["training.workers=1"]
    if any(argument.startswith("resume=") for argument in arguments):
        quick = ["budget.trials=3"]  # nothing else may change
    if "--help" in arguments:
        quick = []
    done = subprocess.run(
        [sys.executable, *arguments, *quick], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, folder, SHIM]))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with nothing but this checkout to import."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def cases() -> list[object]:
    """The commands of the program. Each is a process that imports torch, and those that train a
    ResNet-18 take a minute each, so only some run in `make test`."""
    ours = [command for command in commands() if command.startswith("python -m runner")]
    return [pytest.param(c, marks=[] if c in FIRST else [pytest.mark.exhaustive]) for c in ours]


@pytest.mark.parametrize("command", cases())
def test_a_command_of_the_docs_runs(command, folder):
    assert run(folder, command)


def test_the_docs_have_commands_and_the_other_ones_are_targets_of_make():
    others = [command for command in commands() if not command.startswith("python -m runner")]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {command.split()[1] for command in others} <= targets
    assert len(commands()) > 8


def test_the_python_of_the_docs_runs(folder):
    [session] = [block for block in blocks("python") if "runner.run(" in block]
    done = python(folder, "-c", session)
    assert done.returncode == 0, done.stderr
    assert "val/accuracy" in done.stdout


def test_the_best_model_is_a_program(folder):
    done = python(folder, "outputs/latest/top/1/model.py")
    assert "parameters" in done.stdout and "(2, 10)" in done.stdout, done.stderr


def test_recipes_run(folder):  # one that the docs do not run themselves
    assert run(folder, "python -m runner experiment=tune_mlp")


def test_the_compiler_of_the_docs_runs_by_itself(folder):
    [session] = [block for block in blocks("python") if "check_conversion(" in block]
    done = python(folder, "-c", session)
    assert done.returncode == 0, done.stderr
    assert "nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))" in done.stdout
