"""`task=describe` shows what would be searched, and leaves nothing behind."""

import io
from xml.etree import ElementTree

import pytest
import records
import rich
import torch
from rich.console import Console

from runner import nn
from runner.config.settings import Settings
from runner.engines.py import PyEngine
from runner.errors import ConfigError
from runner.tasks.describe import Describe, parameters


def settings(space: str, **changes) -> Settings:
    usual = records.CONFIG | {
        "space": {"_target_": space}, "task": {"_target_": "runner.tasks.describe.Describe"},
    }  # fmt: skip
    return Settings.model_validate(usual | changes)


@pytest.fixture
def output(monkeypatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=file, width=80, legacy_windows=False))
    return file


def test_it_shows_choices_conditions_numbers_and_the_default_model(output, tmp_path):
    search = {"evaluator.lr": {"low": 0.1, "high": 1.0}}
    Describe().run(settings("toy.Net", search=search), tmp_path)
    assert [line.rstrip() for line in output.getvalue().splitlines()] == [
        "toy.Net",
        "engine     PyEngine",
        "evaluator  Arithmetic",
        "data       Nothing",
        "strategy   Random",
        "",
        "choice  candidates   asked",
        "width   1, 2, 3",
        "depth   1, 2",
        "skip    False, True",
        "kernel  1, 3, 5, 7   when depth=2",
        "",
        "30 architectures; the default one has 4 parameters",
        "",
        "Hyper-parameters that are searched as well",
        "choice        candidates",
        "evaluator.lr  a number from 0.1 to 1.0",
    ]
    assert not [*tmp_path.iterdir()]


BASE = {"_target_": "runner.engines.base.BaseEngine", "shape": [1, 8, 8]}


def test_a_screen_is_shown(output, tmp_path):
    proxy = {"mine": {"_target_": "runner.proxies.params.ParameterProxy"}}
    screen = {"proxy": "mine", "candidates": 4}
    Describe().run(settings("toy.Net", proxy=proxy, screen=screen), tmp_path)
    assert "screen     the best of 4 samples by mine" in output.getvalue()


def test_a_graph_is_shown_as_counts_text_and_picture(output, tmp_path):
    described = settings("mutable.ConvNet", engine=BASE, trust=["mutable", "toy"])
    Describe().run(described, tmp_path)
    text = output.getvalue()
    assert "units: 4 graph, 8 basic" in text
    assert "stem: torch.nn.Conv2d(1, 4, 3, padding=1) (basic)" in text
    assert "%y: float32[5, 4, 8, 8] = self.spot(" in text
    picture = ElementTree.parse(tmp_path / "graph.svg").getroot()
    assert picture.tag.endswith("svg")


def test_mutators_are_shown_with_their_places_and_what_they_refuse(output, tmp_path):
    node = {"_target_": "mutable.Renew", "cls": "ReLU", "names": ["ReLU", "Linear"]}
    tied = {"_target_": "mutable.Renew", "on": "blocks.*", "names": ["Identity"], "tie": True}
    space = {
        "_target_": "spaces.mutate.existing", "input": [1, 8, 8], "mutators": [node, tied],
        "model": {"_target_": "mutable.ConvNet", "blocks": 6},
    }  # fmt: skip
    described = settings("", engine=BASE, trust=["mutable", "toy"])
    Describe().run(described.model_copy(update={"space": space}), tmp_path)
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert lines[:6] == [
        "spaces.mutate.existing",
        "model      mutable.ConvNet",
        "engine     BaseEngine",
        "evaluator  Arithmetic",
        "data       Nothing",
        "strategy   Random",
    ]
    start = lines.index("mutator       matches  where")
    relus, blocks = (", ".join(f"blocks.{i}{end}" for i in range(6)) for end in (".relu", ""))
    assert lines[start : start + 4] == [
        "mutator       matches  where",
        f"renew               6  {relus}",
        f"renew (tied)        6  {blocks}",
        "",
    ]
    start = lines.index("98 of 100 random samples are refused")
    assert lines[start + 1] == "98  Renew does not fit: blocks.1.relu cannot be a Linear."


def test_what_could_not_be_read_is_said(output, tmp_path):
    described = settings("mutable.Tries", engine=BASE, trust=["mutable", "toy"])
    Describe().run(described, tmp_path)
    text = " ".join(output.getvalue().split())
    assert "1 shell" in text
    assert "Its forward cannot be converted. python: " in text and "@basic_unit" in text


def test_a_model_that_looks_at_values_is_counted_as_well():
    assert parameters(PyEngine(space={"_target_": "toy.Looks"}, trust=["toy"])) == 4


def test_a_model_that_cannot_be_built_is_an_error(output, tmp_path):
    with pytest.raises(ConfigError, match="cannot be built at all"):
        Describe().run(settings("toy.Broken"), tmp_path)


def test_a_label_used_twice_is_an_error(output, tmp_path):
    with pytest.raises(ConfigError, match="width"):
        Describe().run(settings("toy.Clash"), tmp_path)


@pytest.mark.parametrize("source", ["import", "standalone"])
def test_first_candidates_that_make_no_model_are_told_and_others_are_drawn(
    output, tmp_path, caplog, source
):
    kernel = {"_target_": "runner.mutators.kernel.Kernel", "on": "stem", "kernel": [2, 3]}
    space = {
        "_target_": "spaces.mutate.existing", "input": [1, 8, 8], "mutators": [kernel],
        "model": {"_target_": "mutable.ConvNet", "blocks": 1},
    }  # fmt: skip
    export = {"top": 3, "keep_weights": 10, "source": source}
    search = {"evaluator.lr": [0.1, 0.2]}
    described = settings(
        "", engine=BASE, trust=["mutable", "toy"], export=export, search=search
    ).model_copy(update={"space": space})
    Describe().run(described, tmp_path)
    said = [r.message for r in caplog.records if "has no valid model" in r.message]
    assert len(said) == 1
    assert said[0].startswith(
        "The sample of all first candidates has no valid model: Kernel does not fit:"
    )
    assert said[0].endswith("size of its output; others are tried.")
    shown = " ".join(output.getvalue().split())
    assert (
        "4 architectures; the sample of all first candidates has no valid model: Kernel does"
        in shown
    )
    assert "50 of 100 random samples are refused" in shown
    assert "kernel/stem 2, 3" in shown and not [*tmp_path.iterdir()]


class Wordy(nn.Module):
    """Labels, candidates and refusals that are wider than any terminal."""

    def __init__(self) -> None:
        super().__init__()
        long = [f"{'long ' * 30}{i}" for i in range(3)]
        first = nn.ValueChoice([True, False], label="first/" + "label" * 30)
        if first and nn.ValueChoice(long, label="second") == long[1]:
            nn.refuse("it is " + "far " * 80 + "too long")
        self.layer = torch.nn.Linear(1, 1)


@pytest.mark.parametrize("columns", ["40", "80"])
def test_piped_output_is_neither_cut_nor_wrapped(columns, monkeypatch, tmp_path):
    file = io.StringIO()
    console = Console(file=file, legacy_windows=False, _environ={"COLUMNS": columns})
    monkeypatch.setattr(rich, "_console", console)
    Describe().run(settings(f"{__name__}.Wordy", trust=["toy", __name__]), tmp_path)
    lines = file.getvalue().splitlines()
    assert "…" not in file.getvalue() and not any(line != line.rstrip() for line in lines)
    label = "first/" + "label" * 30
    assert any(line.startswith(label) and line.endswith("True, False") for line in lines)
    [second] = [line for line in lines if line.startswith("second ")]
    assert second.count("long ") == 90 and second.endswith(f"when {label}=true")
    assert any("far " * 80 + "too long" in line for line in lines)


@pytest.mark.parametrize("columns", ["40", "60"])
def test_a_narrow_terminal_loses_no_label_and_no_candidate(columns, monkeypatch, tmp_path):
    file = io.StringIO()
    environment = {"COLUMNS": columns, "TERM": "xterm"}
    console = Console(
        file=file, legacy_windows=False, force_terminal=True, color_system=None,
        _environ=environment,
    )  # fmt: skip
    monkeypatch.setattr(rich, "_console", console)
    Describe().run(settings(f"{__name__}.Wordy", trust=["toy", __name__]), tmp_path)
    shown = "".join("".join(line.split()) for line in file.getvalue().splitlines())
    assert shown.count("long" * 30) == 3
    assert "first/" + "label" * 30 in shown
