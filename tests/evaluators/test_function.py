"""Function: what a user's own function may do, and what is said when it does something else."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from runner.data.data import SearchData
from runner.errors import ConfigError
from runner.evaluators.evaluator import NotFinite, StopTraining
from runner.evaluators.function import Function

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
    from runner.evaluators.evaluator import TrainingRun

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
    def __call__(self, model: nn.Module) -> None:
        """Lacks `report`."""


@pytest.mark.parametrize(
    ("fn", "test_fn", "text"),
    [
        (lambda model: 1, None, r"evaluator\.fn \(.*\) is called as fn\(model, report\).*too many"),
        (lambda: 1, None, "too many positional arguments"),
        (partial(with_loss), None, "missing a required argument: 'loss'"),
        (lambda model, report, *, loss: 1, None, "missing a required.* 'loss'"),
        (partial(silent, report=1), None, r"called as fn\(model, report\)"),
        (Called(), None, "Called"),
        (
            silent,
            silent,
            r"evaluator\.test_fn \(.*silent\) is called as test_fn\(model\).*'report'",
        ),
        (silent, lambda: 1, "too many positional arguments"),
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
        lambda model, report, data, device, seed: 1,
        max,  # a function without a signature
    ],
)
def test_what_can_be_called_is_accepted(fn: Any) -> None:
    Function(fn, "a", None).check()
    Function(silent, "a", lambda model, data=None: 1).check()
