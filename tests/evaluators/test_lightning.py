"""Lightning: what a LightningModule of a user may be, and that the Trainer stays quiet."""

import importlib
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from runner.data.data import SearchData
from runner.errors import ConfigError
from runner.evaluators.evaluator import NotFinite, StopTraining, TrainingRun
from runner.evaluators.lightning import Lightning
from runner.evaluators.running_trial import FILES, RunningTrial

CPU = torch.device("cpu")


@pytest.fixture
def toys() -> Any:
    pytest.importorskip("lightning", reason="the extra `lightning` is not installed")
    return importlib.import_module("litmodules")


def made(module: Any, epochs: int = 2, **trainer: Any) -> Lightning:
    return Lightning(module, epochs, 5, trainer, 0)


def names(reports: list[Any]) -> list[list[str]]:
    return [sorted(metrics) for [metrics] in reports]


def test_reports_what_was_logged_after_each_epoch(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    record = recorded()
    made(toys.Plain, 3).evaluate([perceptron(0)], numbers, record.run(0))
    assert names(record.reports) == [["train/loss", "val/mse"]] * 3
    assert record.reports[2][0]["val/mse"] < record.reports[0][0]["val/mse"]


def test_what_the_module_logs_at_the_end_of_an_epoch_counts(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    record = recorded()
    made(toys.Late, 2).evaluate([perceptron(0)], numbers, record.run(0))
    assert [metrics["epochs"] for [metrics] in record.reports] == [1.0, 2.0]


@pytest.mark.parametrize("name", ["Plain", "First", "OfNNI", "Assigned"])
def test_every_way_to_take_the_model_trains_it(
    name: str, toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    records, models = [recorded(), recorded()], [perceptron(0), perceptron(0)]
    for record, model, kind in zip(records, models, ("Plain", name), strict=True):
        made(getattr(toys, kind)).evaluate([model], numbers, record.run(3))
    assert records[0].reports == records[1].reports
    before = perceptron(0).state_dict()
    trained, same = (model.state_dict() for model in models)
    for key, start in before.items():
        assert torch.equal(trained[key], same[key]) and not torch.equal(trained[key], start)


def test_arguments_of_the_module_come_from_the_config(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    records = [recorded(), recorded()]
    for record, lr in zip(records, (0.05, 0.5), strict=True):
        made(partial(toys.Plain, lr=lr)).evaluate([perceptron(0)], numbers, record.run(3))
    assert records[0].reports != records[1].reports


def test_models_in_turn_each_with_news_of_its_own(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    record = recorded()
    models = [perceptron(0), perceptron(1)]
    made(toys.Plain, 1).evaluate(models, numbers, record.run(4, 5))
    assert [[*map(bool, report)] for report in record.reports] == [[True, False], [False, True]]


def test_loaders_of_the_module_are_used(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    record = recorded()
    made(toys.WithLoaders, 1).evaluate([perceptron(0)], numbers, record.run(0))
    assert record.reports[0][0]["examples"] == 3


def test_a_module_that_only_trains(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    record, model = recorded(), perceptron(0)
    made(toys.TrainingOnly).evaluate([model], numbers, record.run(0))
    assert names(record.reports) == [["train_loss"]] * 2
    assert made(toys.TrainingOnly).score([model, model], numbers.validation, CPU) == [{}, {}]


def test_test_metrics_have_no_prefix(toys: Any, numbers: SearchData, perceptron: Any) -> None:
    model = perceptron(0).eval()
    [(inputs, targets)] = numbers.validation.batches(99, CPU)
    expected = nn.functional.mse_loss(model(inputs), targets).item()
    [scores] = made(toys.Plain).score([model], numbers.validation, CPU)
    assert scores == {"mse": pytest.approx(expected, rel=1e-5)}


def stopping(after: int, sent: list[Any], *, raises: bool) -> Callable[[Any], Any]:
    def report(metrics: Any) -> tuple[int, ...]:
        sent.append(metrics)
        if len(sent) >= after and raises:
            raise StopTraining
        return (0,) if len(sent) >= after else ()

    return report


def test_stops_when_it_is_told_to(toys: Any, numbers: SearchData, perceptron: Any) -> None:
    sent: list[Any] = []
    with pytest.raises(StopTraining):
        run = TrainingRun(CPU, [0], stopping(2, sent, raises=True))
        made(toys.Plain, 9).evaluate([perceptron(0)], numbers, run)
    assert len(sent) == 2
    sent = []
    run = TrainingRun(CPU, [0], stopping(3, sent, raises=False))
    made(toys.Plain, 9).evaluate([perceptron(0)], numbers, run)
    assert len(sent) == 3


def test_callbacks_of_the_user_may_stop_it(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    from lightning.pytorch.callbacks import EarlyStopping

    record = recorded()
    early = EarlyStopping("val/mse", min_delta=1e9, patience=1)
    made(toys.Plain, 9, callbacks=[early]).evaluate([perceptron(0)], numbers, record.run(0))
    assert len(record.reports) == 2


def test_a_loss_that_is_not_finite(
    toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    with pytest.raises(NotFinite, match=r"train/loss is nan in epoch 2\."):
        made(toys.Diverging, 3).evaluate([perceptron(0)], numbers, recorded().run(0))


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("Silent", ConfigError, r"evaluator\.module \(litmodules\.Silent\) logged nothing in epo"),
        ("Broken", ValueError, "not today"),
        ("Interrupting", KeyboardInterrupt, "by hand"),
    ],
)
def test_errors_of_a_module_pass_through(
    name: str, error: Any, text: str, toys: Any, numbers: SearchData, perceptron: Any, recorded: Any
) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(error, match=text):
            made(getattr(toys, name)).evaluate([perceptron(0)], numbers, recorded().run(0))
    finally:
        signal.signal(signal.SIGINT, before)


def test_nothing_is_printed_and_nothing_is_written(
    toys: Any, numbers: SearchData, perceptron: Any, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    run = TrainingRun(CPU, [0], lambda metrics: (), trials=[RunningTrial(3, {}, tmp_path / FILES)])
    evaluator = made(toys.Plain)
    model = perceptron(0)
    evaluator.rehearse(lambda: perceptron(0), next(iter(numbers.train.batches(2, CPU))), 1)
    evaluator.evaluate([model], numbers, run)
    evaluator.score([model], numbers.validation, CPU)
    assert capfd.readouterr() == ("", "")
    assert not [*tmp_path.iterdir()]


def test_a_rehearsal_raises_what_training_would(toys: Any, perceptron: Any) -> None:
    good, bad = (torch.zeros(2, n) for n in (4, 3))
    names = made(toys.Plain).rehearse(lambda: perceptron(0), (good, torch.zeros(2, 1)), 1)
    assert {*(names or ())} == {"train/loss", "val/mse"}
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        made(toys.Plain).rehearse(lambda: perceptron(0), (bad, torch.zeros(2, 1)), 1)
    with pytest.raises(ValueError, match="not today"):
        made(toys.Broken).rehearse(lambda: perceptron(0), (good, torch.zeros(2, 1)), 1)


@pytest.mark.parametrize(
    ("trainer", "text"),
    [
        ({"max_epochs": 3}, r"evaluator\.trainer\.max_epochs is 3, but evaluator\.epochs sets it"),
        ({"devices": 2}, r"evaluator\.trainer\.devices is 2, but training\.device sets it"),
        ({"gradient_clip": 1}, r"no argument 'gradient_clip'\. Did you mean 'gradient_clip_val'"),
        ({"gradient_clip_val": "x"}, r"evaluator\.trainer cannot be used: TypeError"),
    ],
)
def test_arguments_of_the_trainer_are_checked(trainer: Any, text: str, toys: Any) -> None:
    made(toys.Plain, gradient_clip_val=1.0, precision="bf16-mixed").check()
    with pytest.raises(ConfigError, match=text) as error:
        made(toys.Plain, **trainer).check()
    assert "\n" not in str(error.value)


def test_what_is_no_lightning_module_is_refused(toys: Any) -> None:
    with pytest.raises(ConfigError, match=r"Linear, which is no lightning\.LightningModule"):
        made(partial(nn.Linear, 2, 2)).check()


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_numbers_are_checked(name: str) -> None:
    given = {"epochs": 1, "batch_size": 1, name: 0}
    with pytest.raises(ConfigError, match=rf"evaluator\.{name} is 0; it must be at least 1"):
        Lightning(nn.Identity, given["epochs"], given["batch_size"], {}, 0)


def test_without_the_package_it_says_what_to_install(monkeypatch: Any) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r'pip install "nas-runner\[lightning\]"') as error:
        made(nn.Identity).check()
    assert "\n" not in str(error.value)
