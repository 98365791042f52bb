"""Every example runs as its README says."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import __main__ as program
from runner import load

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
QUICK = ["budget.trials=2", "training=inline", "export.top=1"]
NEEDED = {"lightning_module": "lightning"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the examples, as the working directory, from which Python imports."""
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("__pycache__", "outputs"))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(program, "wants_traceback", False)
    yield folder
    for name in NAMES:
        sys.modules.pop(name, None)


def command(name: str) -> list[str]:
    [block] = re.findall(r"```bash\n(.*?)```", (EXAMPLES / name / "README.md").read_text(), re.S)
    [line] = block.splitlines()
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "runner"]
    return words[3:]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_as_it_says(name, here, monkeypatch, capsys):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason=f"the extra `{NEEDED[name]}` is not installed")
    left_out = ("budget.trials", "training.workers")
    words = [word for word in command(name) if not word.startswith(left_out)]
    monkeypatch.setattr(sys, "argv", ["runner", *words, *QUICK])
    program.exit_code.set(0)
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 0
    run = load("outputs/latest", trust=[name])
    own = [trial for trial in run.trials if trial.duplicate_of is None]
    assert len(own) == 2 and all(trial.scored for trial in own)
    assert run.best.metrics["val/accuracy"] > 0.2
    assert (here / "outputs" / "latest" / "top" / "1" / "model.py").is_file()
    printed = capsys.readouterr().out
    if name == "own_training":
        assert (
            "val/top3" in printed
            and "test/top3"
            in (here / "outputs" / "latest" / "top" / "1" / "metrics.json").read_text()
        )


def test_there_are_examples_of_each_kind():
    assert {"csv_data", "hello_nas", "lightning_module", "own_training"} <= {*NAMES}
