"""Every command and every piece of code in the docs does what it says, in less time."""

import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import vision
import yaml
from doc_pages import (
    ROOT,
    CodeBlock,
    DocCommand,
    blocks,
    commands,
    pages,
    write_files,
)

from runner import launch
from runner.config.compose import compose_config, freed
from runner.config.settings import settings_from

SHIM = ROOT / "tests" / "toys" / "shim"
QUICK = ["budget.trials=2", "export.top=1"]
SMALL, LARGE = "data.shape=[1,8,8]", "data.shape=[3,16,16]"  # as colour images
OF_RAY = {"--head", "--port", "--address"}  # options of `ray start`
OF_RUNS = ("multirun", "outputs/node")  # folders of runs
NEEDED = {  # packages that commands with these words need
    "resnet18": "torchvision", "mutate": "torchvision", "timm": "timm", "lightning": "lightning",
    "tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "onnx": "onnxscript",
    "launcher=joblib": "hydra_plugins.hydra_joblib_launcher",
    "launcher=submitit": "hydra_plugins.hydra_submitit_launcher",
    "cifar10": "torchvision", "image_folder": "torchvision", "training=ray": "ray",
}  # fmt: skip
NOT_RUN = {  # words of commands that only compose
    "data=cifar10": "would download", "data=image_folder": "needs photographs",
    "logger=wandb": "needs an account's library", "training.address": "needs a cluster",
    "launcher=submitit_slurm": "needs a cluster",
    "training=slurm": "needs a cluster, too",
}  # fmt: skip
ABOUT_RUNS = ("list", "show", "compare", "report", "replay", "export")
TABLES = ("experiment=nasbench201", "experiment=nasbench_graph")
OURS = [command for command in commands() if command.is_of_program]
OTHERS = [command for command in commands() if not command.is_of_program]
FIRST = (
    "python -m runner",
    "python -m runner --help",
    "python -m runner task=describe space=resnet",
)
Folders = Callable[[str], Path]


def name_of(one: CodeBlock | DocCommand) -> str:
    return f"{one.page}: {' '.join(one.text.split())[:100]}"


def skip_without(command: DocCommand) -> None:
    for word, package in NEEDED.items():
        if word in command.text and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
        if word in command.text and package in ("torchvision", "timm"):
            vision.torchvision()


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Returns a function from a page to the folder of a user who wrote the files of that page, and
    ran a search before."""
    first = tmp_path_factory.mktemp("first")
    found: dict[str, Path] = {}

    def folder(page: str) -> Path:
        if not (first / "outputs").exists():
            python(first, "-m", "runner", "space=mlp", *QUICK, SMALL, "training.workers=1",
                   "evaluator.epochs=1")  # fmt: skip
        if page not in found:
            found[page] = tmp_path_factory.mktemp("user") / "user"
            shutil.copytree(first, found[page], symlinks=True)
            write_files(page, found[page])
            if (table := ROOT / "examples" / "csv_data" / "flowers.csv").is_file():
                shutil.copy(table, found[page])
        return found[page]

    return folder


def python(folder: Path, *arguments: str) -> str:
    """Runs Python in the folder of a user; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, folder, SHIM]))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(folder: Path, command: DocCommand) -> str:
    """Runs a `python -m runner` command of the docs, made quick."""
    words = [re.sub(r"^trial=\d+", "trial=1", word) for word in command.words[1:]]
    words = [re.sub(r"latency <= \d+ms", "latency <= 1000s", word) for word in words]
    words = [re.sub(r"^hydra.run.dir=(.*)", r"hydra.run.dir=\1-2", word) for word in words]
    begins = _sweep_resumed(command)
    if begins and not any((folder / place / ".sweep").exists() for place in _resumed(command)):
        python(folder, *begins.words[1:], *_quick(begins))
    named = " ".join(word for word in words[2:] if not word.startswith("hydra."))
    for name in re.findall(r"(?:outputs|multirun)[\w/.]*", named):
        if not (folder / name).exists():  # a run that the reader has, or a folder of runs
            place = folder / name / "one" if name in OF_RUNS else folder / name
            shutil.copytree((folder / "outputs" / "latest").resolve(), place)
    return python(folder, *words, *_quick(command))


def _resumed(command: DocCommand) -> list[str]:
    """The folders of the sweeps with which a command goes on."""
    key = "sweep.resume="
    return [word.removeprefix(key) for word in command.words if word.startswith(key)]


def _sweep_resumed(command: DocCommand) -> DocCommand | None:
    """The command of the page that begins the sweep with which a command goes on."""
    places = [f"hydra.sweep.dir={place}" for place in _resumed(command)]
    found = [one for one in OURS if one.page == command.page and {*places} & {*one.words}]
    return found[0] if found else None


def _quick(command: DocCommand) -> list[str]:
    given = {word.partition("=")[0]: word.partition("=")[2] for word in command.overrides}
    if "--help" in command.flags or "--cfg" in command.flags or given.get("task") in ABOUT_RUNS:
        return []
    if "sweep.resume" in given:
        return []  # nothing may change
    if given.get("task") == "retrain":
        return ["evaluator.epochs=2"]
    if "resume" in given:
        return ["budget.trials=3"]  # nothing else may change
    if "fidelity" in given:
        return ["training.workers=1"]  # two trials would not reach the highest rung
    if any(word in TABLES for word in command.overrides):
        return ["budget.trials=20"]
    is_large = any(word in command.text for word in ("resnet18", "mutate_resnet", "layer3"))
    quick = [*QUICK]
    if not {"data", "data.shape"} & given.keys() or is_large:
        quick += [LARGE if is_large else SMALL]
    if given.get("task") == "check":
        quick += ["task.samples=2"]
    quick += [] if given.get("evaluator") == "function" else ["evaluator.epochs=1"]
    return [*quick, *_training(command)]


def _training(command: DocCommand) -> list[str]:
    if "-m" in command.flags:
        return ["training=inline"]
    named = any(word.startswith("training=") for word in command.overrides)
    return [] if named else ["training.workers=1"]


@pytest.fixture
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Returns what makes the files of a page importable."""
    before = {*sys.modules}

    def importable(page: str) -> None:
        write_files(page, tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))

    yield importable
    names = {path.stem for path in tmp_path.glob("*.py")}
    for name in names - before:
        sys.modules.pop(name, None)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", OURS, ids=name_of)
def test_a_command_composes(command, imports):
    if "--config-dir" in command.flags:
        pytest.skip("has options of its own, which the command line alone finds")
    skip_without(command)
    imports(command.page)
    launch.register_resolvers()
    given = freed([word for word in command.overrides if not word.startswith("sweep.resume=")])
    settings_from(compose_config(given), [w for w in given if not w.startswith("hydra.")])


@pytest.mark.parametrize("command", [
    pytest.param(one, marks=[] if one.page == "README.md" and one.text in FIRST
                 else [pytest.mark.exhaustive])
    for one in OURS
], ids=name_of)  # fmt: skip
def test_a_command_runs(command, folder_of):
    """Each is a process that imports torch, and those that train a ResNet-18 take a minute each, so
    only some run in `make test`."""
    skip_without(command)
    for word, why in NOT_RUN.items():
        if word in command.text:
            pytest.skip(why)
    assert run(folder_of(command.page), command)


@pytest.mark.parametrize("command", OTHERS, ids=name_of)
def test_a_command_of_another_program_is_what_it_says(command, folder_of):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    match command.words:
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        case ["pip", "install", "."]:
            assert (ROOT / "pyproject.toml").is_file()
        case ["pip", "install", what]:
            name, wanted = re.fullmatch(r"([\w.-]+)\[([\w,]+)\]", what).groups()
            assert name in (project["name"], ".") and {*wanted.split(",")} <= {*extras}
        case ["sqlite3", path, query]:
            database = sqlite3.connect(folder_of(command.page) / path)
            assert database.execute(query).fetchall()
        case ["python", path]:
            assert "parameters" in python(folder_of(command.page), path)
        case ["tensorboard", "--logdir", path]:
            assert "tensorboard" in extras and path.startswith("outputs/")
        case ["ray", "start", *options]:
            assert "ray" in extras and {o.partition("=")[0] for o in options} <= OF_RAY
        case ["eval", shell]:
            assert "runner -sc install=" in shell and "runner" in project["scripts"]
        case _:
            pytest.fail(f"No test knows {command.text!r}.")


@pytest.mark.parametrize("block", [*blocks("python")], ids=name_of)
def test_python_compiles(block):
    compile(block.text, block.page, "exec")


@pytest.mark.parametrize("block", [*blocks("yaml")], ids=name_of)
def test_yaml_is_a_mapping(block):
    assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", [one for one in blocks("python") if one.is_whole], ids=name_of)
def test_whole_python_runs(block, folder_of):
    python(folder_of(block.page), "-c", block.text)


def test_the_python_of_a_session_shows_results(folder_of):
    [session] = [b for b in blocks("python") if "runner.run(" in b.text and b.page == "README.md"]
    assert "val/accuracy" in python(folder_of("README.md"), "-c", session.text)


def test_the_compiler_of_the_docs_writes_source(folder_of):
    [session] = [block for block in blocks("python") if "check_conversion(" in block.text]
    done = python(folder_of(session.page), "-c", session.text)
    assert "nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))" in done


def test_the_docs_have_what_is_tested_here():
    assert len(pages()) > 15 and len(OURS) > 80
    assert {*FIRST} <= {command.text for command in OURS if command.page == "README.md"}
    assert len([*blocks("python")]) > 12
