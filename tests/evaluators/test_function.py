"""Function: what a user's own function may do, and what is said when it does something else."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from runner.data.data import SearchData
from runner.errors import ConfigError, Interrupted
from runner.evaluators.evaluator import NotFinite, StopTraining, TrainingRun
from runner.evaluators.function import Function
from runner.evaluators.function_checkpoint import FunctionCheckpoint
from runner.evaluators.running_trial import FILES, RunningTrial
from runner.trial import STATE

CPU = torch.device("cpu")
Report = Callable[[Any], None]


def evaluated(fn: Callable[..., Any], data: SearchData, recorded: Any, *seeds: int) -> list[Any]:
    record = recorded()
    models = [nn.Linear(1, 1) for _ in seeds or (0,)]
    Function(fn, "val/accuracy", None).evaluate(models, data, record.run(*seeds or (0,)))
    return record.reports


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), torch.tensor(0.5), torch.tensor([0.5])])
def test_bare_number_is_the_objective(value: Any, numbers: SearchData, recorded: Any) -> None:
    assert evaluated(lambda model, report: report(value), numbers, recorded) == [
        [{"val/accuracy": 0.5}]
    ]


def test_mapping_is_reported_as_it_is(numbers: SearchData, recorded: Any) -> None:
    metrics = {"val/accuracy": 1, "speed": 2.5}
    assert evaluated(lambda model, report: report(metrics), numbers, recorded) == [[metrics]]


@pytest.mark.parametrize("value", [0.25, {"val/accuracy": 0.25}])
def test_returned_value_counts_when_nothing_was_reported(
    value: Any, numbers: SearchData, recorded: Any
) -> None:
    assert evaluated(lambda model, report: value, numbers, recorded) == [[{"val/accuracy": 0.25}]]


def test_returned_value_is_left_out_after_reports(numbers: SearchData, recorded: Any) -> None:
    def fn(model: nn.Module, report: Report) -> float:
        report(0.1)
        report(0.2)
        return 0.9

    assert evaluated(fn, numbers, recorded) == [[{"val/accuracy": 0.1}], [{"val/accuracy": 0.2}]]


def test_models_in_turn_each_with_news_of_its_own(numbers: SearchData, recorded: Any) -> None:
    def fn(model: nn.Module, report: Report, seed: int) -> None:
        report(seed)

    assert evaluated(fn, numbers, recorded, 4, 5) == [
        [{"val/accuracy": 4.0}, {}],
        [{}, {"val/accuracy": 5.0}],
    ]


def test_gets_what_it_asks_for(numbers: SearchData, recorded: Any) -> None:
    seen: dict[str, Any] = {}

    def named(model: nn.Module, report: Report, data: Any, device: Any) -> float:
        seen.update(data=data, device=device)
        return 1.0

    def every(model: nn.Module, report: Report, **rest: Any) -> float:
        seen.update(rest)
        return 1.0

    evaluated(named, numbers, recorded)
    assert seen == {"data": numbers, "device": CPU}
    seen.clear()
    evaluated(partial(every, lr=0.5, seed=99), numbers, recorded, 3)
    assert isinstance(seen.pop("trial"), RunningTrial)
    assert isinstance(seen.pop("checkpoint"), FunctionCheckpoint)
    assert seen == {"data": numbers, "device": CPU, "seed": 99, "lr": 0.5}


def test_random_numbers_are_seeded(numbers: SearchData, recorded: Any) -> None:
    def fn(model: nn.Module, report: Report) -> float:
        return torch.rand(()).item() + np.random.rand()

    assert evaluated(fn, numbers, recorded, 3) == evaluated(fn, numbers, recorded, 3)
    assert evaluated(fn, numbers, recorded, 3) != evaluated(fn, numbers, recorded, 4)


def silent(model: nn.Module, report: Report) -> None:
    """Says nothing."""


@pytest.mark.parametrize(
    ("fn", "text"),
    [
        (partial(silent), r"evaluator\.fn \(.*silent\) reported nothing; it must call"),
        (lambda m, report: report("0.9"), r"evaluator\.fn reported '0\.9'; a report is a number"),
        (lambda m, report: report(None), "reported None"),
        (lambda m, report: report(True), "reported True"),
        (lambda m, report: report({"a": [1]}), r"reported 'a': \[1\]"),
        (lambda m, report: report(torch.ones(2)), "reported tensor"),
        (lambda m, report: "done", "reported 'done'"),
    ],
)
def test_reports_that_are_none(
    fn: Callable[..., Any], text: str, numbers: SearchData, recorded: Any
) -> None:
    with pytest.raises(ConfigError, match=text):
        evaluated(fn, numbers, recorded)


def test_objective_that_is_not_finite(numbers: SearchData, recorded: Any) -> None:
    with pytest.raises(NotFinite, match=r"val/accuracy is nan in report 1\."):
        evaluated(lambda m, report: report(float("nan")), numbers, recorded)


def test_stopping_passes_through(numbers: SearchData) -> None:
    def stop(metrics: Any) -> None:
        raise StopTraining

    with pytest.raises(StopTraining):
        Function(lambda m, report: report(1), "a", None).evaluate(
            [nn.Linear(1, 1)], numbers, TrainingRun(CPU, [0], stop)
        )


def test_score(numbers: SearchData) -> None:
    models = [nn.Linear(4, 1), nn.Linear(4, 1)]
    assert Function(silent, "val/mse", None).score(models, numbers.train, CPU) == [{}, {}]

    def test_fn(model: nn.Module, data: Any) -> int:
        return len(data)

    scores = Function(silent, "val/mse", test_fn).score(models, numbers.train, CPU)
    assert scores == [{"mse": 25.0}, {"mse": 25.0}]


def with_loss(model: nn.Module, report: Report, loss: str) -> None:
    """Needs a preset argument."""


def by_name(model: nn.Module, report: Report, *, data: Any, rest: int = 1) -> None:
    """Takes one of what is offered."""


class Called:
    def __call__(self, report: Report) -> None:
        """Lacks `model`."""


@pytest.mark.parametrize(
    ("fn", "test_fn", "text"),
    [
        (lambda: 1, None, r"evaluator\.fn \(.*\) is called with those of model, report.*no model"),
        (partial(with_loss), None, "missing a required argument: 'loss'"),
        (lambda model, report, *, loss: 1, None, "missing a required.* 'loss'"),
        (partial(silent, report=1), None, r"evaluator\.fn\.report is set by runner itself"),
        (Called(), None, "Called"),
        (silent, silent, r"evaluator\.test_fn \(.*silent\) is called with those of .*'report'"),
        (silent, lambda: 1, "it takes no model"),
        (silent, lambda model, *, trial: 1, "'trial'"),
    ],
)
def test_what_cannot_be_called_is_refused_before_a_search(fn: Any, test_fn: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as error:
        Function(fn, "a", test_fn).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fn",
    [
        silent,
        by_name,
        partial(with_loss, loss="mse"),
        partial(by_name, data=1),
        lambda *_, **__: 1,
        lambda model: 1,
        lambda data, model, epochs=3: 1,
        lambda model, report, data, device, seed, trial, checkpoint: 1,
        max,  # a function without a signature
    ],
)
def test_what_can_be_called_is_accepted(fn: Any) -> None:
    Function(fn, "a", None).check()
    Function(silent, "a", lambda model, data=None: 1).check()


def in_a_run(fn: Callable[..., Any], folder: Path, data: Any, sent: list[Any]) -> None:
    """Trains one model as trial 7 of a run."""
    trials = [RunningTrial(7, {"depth": 2}, folder / "trials" / "0007" / FILES)]
    run = TrainingRun(CPU, [5], lambda metrics: sent.append(metrics[0]) or (), trials=trials)
    Function(fn, "a", None).evaluate([nn.Linear(1, 1)], data, run)


def test_knows_its_trial_and_has_a_folder_for_its_files(tmp_path: Path) -> None:
    def fn(model: nn.Module, trial: RunningTrial) -> int:
        (trial.folder / "notes.txt").write_text(str(trial.sample))
        return trial.number

    sent: list[Any] = []
    in_a_run(fn, tmp_path, None, sent)
    assert sent == [{"a": 7.0}]
    assert (tmp_path / "trials" / "0007" / "files" / "notes.txt").read_text() == "{'depth': 2}"


def test_outside_of_a_run_there_is_a_folder_for_a_while(numbers: SearchData, recorded: Any) -> None:
    seen: list[Any] = []

    def fn(model: nn.Module, trial: RunningTrial, checkpoint: FunctionCheckpoint) -> int:
        checkpoint.save({"epoch": 1})
        seen.extend([trial, trial.folder.is_dir(), checkpoint.load()])
        return 1

    assert evaluated(fn, numbers, recorded) == [[{"val/accuracy": 1.0}]]
    assert seen[0].number == 0 and seen[1:] == [True, {"epoch": 1}]
    assert not seen[0].folder.exists()


def test_no_folder_is_made_for_a_function_that_does_not_ask(tmp_path: Path) -> None:
    in_a_run(lambda model: 1, tmp_path, None, [])
    assert not [*tmp_path.iterdir()]


class Trained:
    """Training of four epochs in which random numbers count, which dies once."""

    def __init__(self, *dies_after: int) -> None:
        self.dies_after = [*dies_after]
        self.begun: list[int] = []

    def __call__(self, model: nn.Module, report: Report, checkpoint: FunctionCheckpoint) -> None:
        state = checkpoint.load()
        if state is not None:
            model.load_state_dict(state["model"])
        begin = 0 if state is None else state["epoch"]
        self.begun.append(begin)
        for epoch in range(begin, 4):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn(()) + random.random() + np.random.rand())
            report(sum(p.sum().item() for p in model.parameters()))
            checkpoint.save({"model": model.state_dict(), "epoch": epoch + 1})
            if self.dies_after[:1] == [epoch + 1]:
                self.dies_after.pop(0)
                raise Interrupted(15)


@pytest.mark.parametrize("after", [1, 2, 4])
def test_goes_on_as_it_would_have_where_it_was_killed(after: int, tmp_path: Path) -> None:
    whole: list[Any] = []
    torch.manual_seed(0)
    in_a_run(Trained(), tmp_path, None, whole)
    training, sent = Trained(after), []
    torch.manual_seed(0)
    with pytest.raises(Interrupted):
        in_a_run(training, tmp_path, None, sent)
    assert sent == whole[:after]
    assert (tmp_path / "trials" / "0007" / STATE).is_file()
    again: list[Any] = []
    torch.manual_seed(0)
    in_a_run(training, tmp_path, None, again)
    assert training.begun == [0, after]
    assert again == whole  # the reports of the first start come once more
    assert not [*tmp_path.rglob(f"{STATE}*")]


def test_state_of_a_trial_that_failed_is_removed(tmp_path: Path) -> None:
    def fn(model: nn.Module, checkpoint: FunctionCheckpoint) -> None:
        checkpoint.save({"epoch": 1})
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        in_a_run(fn, tmp_path, None, [])
    assert not [*tmp_path.rglob(f"{STATE}*")]


def rehearsed(fn: Callable[..., Any], caplog: Any) -> list[str]:
    batch = torch.zeros(2, 4), torch.zeros(2, 1)
    Function(fn, "a", None).rehearse(lambda: nn.Linear(3, 1), batch, 1)
    return [record.getMessage() for record in caplog.records]


def test_warns_of_data_that_does_not_fit_the_model(caplog: Any) -> None:
    [text] = rehearsed(lambda model, data: 1, caplog)
    assert "fails on an example of shape [4], which is data.shape, unless evaluator.fn" in text
    assert "\n" not in text


def test_data_that_is_not_asked_for_need_not_fit(caplog: Any) -> None:
    assert not rehearsed(lambda model: 1, caplog)
