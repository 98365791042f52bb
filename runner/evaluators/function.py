"""The evaluator `function`: custom training code, `fn(model, report)`."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, final

import numpy
import torch
from torch import Tensor, nn

from runner.data.data import SearchData, Split
from runner.errors import ConfigError, message, one_line, shown
from runner.evaluators.evaluator import Evaluator, NotFinite, TrainingRun
from runner.evaluators.seeds import seed_model
from runner.trial import Metrics

Reported = float | Mapping[str, float] | None  # what a function may return


@final
class Function(Evaluator):
    """An evaluator that calls a function for each model in turn.

    `fn(model, report)` trains a model in place. It may call `report` any number of times, with a
    number or a mapping of names to numbers; if it never does, its return value is the report. It
    also receives `data`, `device` and `seed` if it has such parameters.
    """

    def __init__(
        self, fn: Callable[..., Reported], metric: str, test_fn: Callable[..., Reported] | None
    ) -> None:
        """Takes the training function. `metric` names a report that is a bare number.
        `test_fn(model)` returns the test metrics of a trained model, and may have parameters `data`
        (the test split) and `device`; None: no test metrics."""
        self._fn = fn
        self._metric = metric
        self._test_fn = test_fn

    def check(self) -> None:
        _check_call("fn", "model, report", self._fn, ("data", "device", "seed"))
        if self._test_fn is not None:
            _check_call("test_fn", "model", self._test_fn, ("data", "device"))

    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        for place, (model, seed) in enumerate(zip(models, run.seeds, strict=True)):
            seed_model(seed, 0)
            report = Reporter(self._metric, place, len(models), run)
            extra = _wanted(self._fn, data=data, device=run.device, seed=seed)
            returned = self._fn(model, report, **extra)
            if not report.calls:
                if returned is None:
                    raise ConfigError(
                        f"evaluator.fn ({_name(self._fn)}) reported nothing; it must call "
                        "report(number), or return a number or a mapping of names to numbers."
                    )
                report(returned)

    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        if self._test_fn is None:
            return [{} for _ in models]
        extra = _wanted(self._test_fn, data=split, device=device)
        name = self._metric.rpartition("/")[2]
        return [_named(self._test_fn(model, **extra), name) for model in models]


@final
class Reporter:
    """The `report` argument of a function. `calls` counts its reports."""

    def __init__(self, metric: str, place: int, models: int, run: TrainingRun) -> None:
        self.calls = 0
        self._metric = metric
        self._place = place
        self._models = models
        self._run = run

    def __call__(self, value: float | Mapping[str, float]) -> None:
        """Reports a number or a mapping. Raises StopTraining if the trial is to stop early."""
        self.calls += 1
        metrics = _named(value, self._metric)
        number = metrics.get(self._metric, 0.0)
        if not math.isfinite(number):
            text = f"{self._metric} is {number} in report {self.calls}."
            raise NotFinite(text, (self._place,))
        self._run.report([metrics if i == self._place else {} for i in range(self._models)])


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


def _check_call(key: str, given: str, fn: Callable[..., Any], offered: Sequence[str]) -> None:
    """Raises ConfigError for a function that cannot be called as it will be."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # some functions written in C have none
        return
    names = given.split(", ")
    try:
        signature.bind(*names, **_wanted(fn, **dict.fromkeys(offered)))
    except TypeError as error:
        raise ConfigError(
            f"evaluator.{key} ({_name(fn)}) is called as {key}({given}), and with "
            f"{', '.join(offered)} if it has such parameters, which it cannot be: "
            f"{message(error)}. Give other arguments in the config, as evaluator.{key}.NAME=VALUE."
        ) from None


def _wanted(fn: Callable[..., Any], **offered: Any) -> dict[str, Any]:
    """Returns the offered arguments that a function accepts and that are not preset."""
    parameters = inspect.signature(fn).parameters
    every = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    preset = getattr(fn, "keywords", {})
    return {
        name: value
        for name, value in offered.items()
        if (every or name in parameters) and name not in preset
    }


def _name(fn: Callable[..., Any]) -> str:
    inner = getattr(fn, "func", fn)
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    return f"{named.__module__}.{named.__qualname__}"
