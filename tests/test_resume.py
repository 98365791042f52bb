"""The printed override works as printed: through a shell, Hydra, and OmegaConf."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.config.compose import changed, compose_config
from runner.display import format as text
from runner.errors import ConfigError
from runner.launch import register_resolvers
from runner.resume import folder_of, resume_command, resume_override

PARTS = ["a", "5", ".", "-", "é", "漢", " ", "  ", "=", ";", "#", "{", "}", "[", "]", "(", ")", "'",
         '"', ",", "$", "\\", "&", "!", "*", "?", "~", "/", ":", "@", "%", "`", "|", "<", ">", "^",
         "\n", "\t", "${", "${x}", "null", "1e5", "file:", "\u202e", "\x1b", "\udc80"]  # fmt: skip
PATHS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=8).map("".join)


@pytest.fixture(autouse=True, scope="module")
def resolvers():
    register_resolvers()


@settings(max_examples=30)  # each takes a quarter of a second
@given(PATHS)
@example("null")
@example("True")
@example("2026")
@example("1_0")
@example(".5")
@example("file:a")
@example("\\")
def test_any_path_comes_back(path):
    folder = Path(path)
    line = text.sentence(resume_override(folder))  # as it is printed
    [argument] = shlex.split(line)
    config = compose_config([argument])
    found = folder_of("resume", config.resume)
    assert found in (folder, folder.absolute())
    again = changed({"resume": None}, config, [argument])
    assert folder_of("resume", again.resume) == found


def test_ordinary_paths_are_printed_plainly():
    usual = "outputs/2026-11-22/15-00-00"
    assert resume_override(Path(usual)) == f"resume={usual}"
    assert resume_command(Path("run")) == "python -m runner resume=run"
    assert resume_override(Path("a b")) == "'resume=\"a b\"'"


@given(PATHS)
@example("it's")
def test_a_shell_passes_the_argument_on(path):
    script = f"{shlex.quote(sys.executable)} -c 'pass'; printf '%s' {resume_override(Path(path))}"
    script = script.partition("; ")[2]
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == shlex.split(resume_override(Path(path)))[0]


@pytest.mark.parametrize("value", [None, 5, 1.5, True, "", ["a"], {"a": "b"}, "a\0b",
                                   "file:relative", "file:///a%00b"])  # fmt: skip
def test_what_is_no_folder_is_named(value):
    with pytest.raises(ConfigError, match="resume is ") as caught:
        folder_of("resume", value)
    assert "\n" not in str(caught.value)


NASTY = "é a=;#{[(,'\")]}$\\ &!*?~ ${x}  b\nc"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_printed_command_continues_a_run_in_a_folder_of_any_name(shell, tmp_path, monkeypatch):
    import runner
    from runner.store import read

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / NASTY / "run"
    toy = ["trust=[toy]", "space._target_=toy.Net", "evaluator._target_=toy.Arithmetic",
           "evaluator.epochs=1", "evaluator.lr=0.5", "+evaluator.sleep=0", "strategy=random",
           "data._target_=toy.Nothing", "data.shape=[1]", "data.classes=2", "training=inline",
           "training.device=cpu", "budget.trials=2"]  # fmt: skip
    runner.run(toy, folder)
    with pytest.raises(ConfigError, match="contains a run already") as caught:
        runner.run(toy, folder)
    said = text.sentence(str(caught.value)).partition("already; ")[2].removesuffix(" continues it.")
    script = f"{shlex.quote(sys.executable)} -m runner {said} budget.trials=3"
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), str(root / "tests" / "toys")])
    done = subprocess.run([shell, "-c", script], env=os.environ | {"PYTHONPATH": path},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(read(folder).trials) == 3
    assert [p.name for p in tmp_path.iterdir()] == [NASTY]
