"""The evaluator `function`: custom training code, such as `fn(model, report, data)`."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

import numpy
import torch
from torch import Tensor, nn

from runner.data.data import Batch, SearchData, Split
from runner.errors import ConfigError, Interrupted, one_line, shown
from runner.evaluators.call_by_name import arguments_for, check_call, name_of
from runner.evaluators.evaluator import Evaluator, NotFinite, TrainingRun
from runner.evaluators.function_checkpoint import FunctionCheckpoint, checkpoint_path
from runner.evaluators.running_trial import FILES, RunningTrial
from runner.evaluators.seeds import seed_model
from runner.trial import Metrics

log = logging.getLogger(__name__)
Reported = float | Mapping[str, float] | None  # what a function may return
OFFERED = ("model", "report", "data", "device", "seed", "trial", "checkpoint")
OFFERED_IN_TEST = ("model", "data", "device")


@final
class Function(Evaluator):
    """An evaluator that calls a function for each model in turn.

    `fn(model, report)` trains a model in place. It may call `report` any number of times, with a
    number or a mapping of names to numbers; if it never does, its return value is the report. It is
    given what it has parameters for of `model`, `report`, `data` (a SearchData), `device`, `seed`,
    `trial` (a RunningTrial) and `checkpoint` (a FunctionCheckpoint).
    """

    def __init__(
        self, fn: Callable[..., Reported], metric: str, test_fn: Callable[..., Reported] | None
    ) -> None:
        """Takes the training function. `metric` names a report that is a bare number.
        `test_fn(model)` returns the test metrics of a trained model, and is given what it has
        parameters for of `model`, `data` (the test split) and `device`; None: no test metrics."""
        self._fn = fn
        self._metric = metric
        self._test_fn = test_fn

    def check(self) -> None:
        check_call("evaluator.fn", self._fn, OFFERED, ("model", "report"))
        if self._test_fn is not None:
            check_call("evaluator.test_fn", self._test_fn, OFFERED_IN_TEST, ("model",))

    def rehearse(self, make: Callable[[], nn.Module], batch: Batch, classes: int) -> None:
        """Warns if the function is given data on which a model fails; it may know what to do."""
        probe = object()
        offered = {**dict.fromkeys(OFFERED), "data": probe}
        args, named = arguments_for(self._fn, offered, ("model", "report"))
        if not any(one is probe for one in (*args, *named.values())):
            return  # it has other examples
        with torch.no_grad():
            try:
                make().eval()(batch[0].clone())
            except Exception as error:
                log.warning(
                    "The default model fails on an example of shape %s, which is data.shape, "
                    "unless evaluator.fn (%s) calls it in another way: %s",
                    [*batch[0].shape[1:]], name_of(self._fn), one_line(error),
                )  # fmt: skip

    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        for place, (model, seed) in enumerate(zip(models, run.seeds, strict=True)):
            seed_model(seed, 0)
            report = Reporter(self._metric, place, len(models), run)
            offered = {
                "model": model, "report": report, "data": data, "device": run.device, "seed": seed
            }  # fmt: skip
            if run.trials:
                self._train_in_folder(run.trials[place], report, offered)
            else:
                with TemporaryDirectory(prefix="runner-") as folder:
                    trial = RunningTrial(place, {}, Path(folder) / FILES)
                    self._train_in_folder(trial, report, offered)

    def _train_in_folder(
        self, trial: RunningTrial, report: "Reporter", offered: dict[str, Any]
    ) -> None:
        """Trains a model as a trial, which has a folder, and can find its state again."""
        checkpoint = FunctionCheckpoint(
            checkpoint_path(trial.folder), offered["seed"], report.send, report.went_on
        )
        report.heard = checkpoint.heard
        try:
            self._train(report, {**offered, "trial": trial, "checkpoint": checkpoint})
        except Interrupted:  # it goes on when the run does
            raise
        except BaseException:
            checkpoint.delete()
            raise
        checkpoint.delete()

    def _train(self, report: "Reporter", offered: Mapping[str, Any]) -> None:
        args, named = arguments_for(self._fn, offered, ("model", "report"))
        trial = offered["trial"]
        if any(one is trial for one in (*args, *named.values())):
            trial.folder.mkdir(parents=True, exist_ok=True)
        returned = self._fn(*args, **named)
        if not report.calls:
            if returned is None:
                raise ConfigError(
                    f"evaluator.fn ({name_of(self._fn)}) reported nothing; it must call "
                    "report(number), or return a number or a mapping of names to numbers."
                )
            report(returned)

    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        if self._test_fn is None:
            return [{} for _ in models]
        name = self._metric.rpartition("/")[2]
        scores = []
        for model in models:
            seed_model(0, 0)
            offered = {"model": model, "data": split, "device": device}
            args, named = arguments_for(self._test_fn, offered, ("model",))
            scores.append(_named(self._test_fn(*args, **named), name))
        return scores


@final
class Reporter:
    """The `report` argument of a function. `calls` counts its reports."""

    def __init__(self, metric: str, place: int, models: int, run: TrainingRun) -> None:
        self.calls = 0
        self.heard: Callable[[Metrics], None] = lambda metrics: None  # told of each report
        self._metric = metric
        self._place = place
        self._models = models
        self._run = run

    def __call__(self, value: float | Mapping[str, float]) -> None:
        """Reports a number or a mapping. Raises StopTraining if the trial is to stop early."""
        metrics = _named(value, self._metric)
        number = metrics.get(self._metric, 0.0)
        if not math.isfinite(number):
            text = f"{self._metric} is {number} in report {self.calls + 1}."
            raise NotFinite(text, (self._place,))
        self.send(metrics)

    def send(self, metrics: Metrics) -> None:
        """Passes metrics on, of a report or, if a trial goes on, of one made before. Raises
        StopTraining."""
        self.calls += 1
        self.heard(metrics)
        self._run.report([metrics if i == self._place else {} for i in range(self._models)])

    def went_on(self, seconds: float) -> None:
        """Says that the trial goes on with a training that had run for so many seconds; what it had
        reported follows."""
        self._run.went_on(self._place, seconds)


def _named(value: object, name: str) -> Metrics:
    """Returns a report as metrics; a bare number gets a name."""
    if not isinstance(value, Mapping):
        return {name: _number(value, "")}
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(
                f"evaluator.fn reported a metric named {shown(key)}; a name is a text, such as "
                f"{name!r}."
            )
    return {key: _number(item, f"{key!r}: ") for key, item in value.items()}


def _number(value: object, where: str) -> float:
    number, why = value, ""
    try:
        if isinstance(value, Tensor) and value.numel() == 1:
            number = value.detach().item()
        elif isinstance(value, numpy.ndarray | numpy.generic) and value.size == 1:
            number = value.item()
        if isinstance(number, Real) and not isinstance(number, bool):
            return float(number)
    except Exception as error:  # too large for a float, or on the meta device
        why = f" ({one_line(error)})"
    raise ConfigError(
        f"evaluator.fn reported {where}{shown(value)}{why}; a report is a number, or a mapping of "
        "names to numbers."
    )
