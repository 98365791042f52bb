"""Trial, Job, Report: plain data that travels between the loop, the record and the workers."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self, final

from runner.errors import message
from runner.space.sample import Sample, generator

MODEL = "model.py"  # the source of a model, in the folder of its trial
WEIGHTS = "weights.safetensors"  # its trained weights, in the same folder
OUT_OF_MEMORY = "out of memory"  # the reason of a failure
REFUSED = "refused"  # the reason of a failure that came before the trial could run
Metrics = Mapping[str, float]  # name -> value, for example {"val/accuracy": 0.97}


class State(StrEnum):
    """Where a trial stands. Only `RUNNING` is not an end."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"  # ended early on purpose; its last metrics count
    FAILED = "failed"


@final
@dataclass(frozen=True)
class Failure:
    """Why a trial failed: a reason in a word or two, and one line of text."""

    # "error", "crashed", "out of memory", "timed out", "stalled", "not finite", "refused"
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}"

    @classmethod
    def refused(cls, refusal: Exception) -> "Failure":
        """Returns the failure of a trial whose sample has no model, for the reason given."""
        return cls(REFUSED, message(refusal))


@final
@dataclass(frozen=True)
class Objective:
    """What the search is after: a metric, and whether more or less of it is better."""

    metric: str = "val/accuracy"
    mode: Literal["max", "min"] = "max"

    def score(self, metrics: Metrics) -> float | None:
        """The metric turned so that more is better; None when it is missing or not finite."""
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return None
        return value if self.mode == "max" else -value


@final
@dataclass(frozen=True)
class Trial:
    """A proposed sample and its fate."""

    number: int
    sample: Sample
    seed: int
    state: State = State.RUNNING
    metrics: Metrics = field(default_factory=dict)  # as last reported
    step: int = 0  # how many reports, that is epochs, there were
    score: float | None = None  # the objective, turned so that more is better; None without one
    failure: Failure | None = None
    key: str = ""  # equal for trials that mean the same; see `Engine.key`
    duplicate_of: int | None = None  # the trial whose result this one shares
    parent: int | None = None  # the trial it was made from; None where the strategy has no parents
    proposed_at: float = 0.0  # seconds since the epoch
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def owner(self) -> int:
        """The number of the trial whose result and weights are those of this one."""
        return self.number if self.duplicate_of is None else self.duplicate_of

    @property
    def seconds(self) -> float | None:
        """How long the trial ran, in seconds; None if it never did, or has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at

    @property
    def running(self) -> bool:
        return self.state is State.RUNNING

    @property
    def failed(self) -> bool:
        return self.state is State.FAILED

    @property
    def refused(self) -> bool:
        """Whether this trial never ran, because its model cannot be; it costs no budget."""
        return self.failure is not None and self.failure.reason == REFUSED

    @property
    def scored(self) -> bool:
        """Whether this trial has ended with a result that can be compared."""
        return self.state in (State.FINISHED, State.STOPPED) and self.score is not None


def top(trials: Sequence[Trial], k: int) -> list[Trial]:
    """The k best of some trials, best first, earlier ones first among equals; shared results
    count once."""

    def rank(trial: Trial) -> tuple[float, int]:
        assert trial.score is not None
        return -trial.score, trial.number

    return sorted((t for t in trials if t.scored and t.duplicate_of is None), key=rank)[:k]


def trial_seed(seed: int, number: int) -> int:
    """The seed of everything random in a trial; the same when the trial is run again."""
    return generator(seed, "trial", number).getrandbits(31)


def trial_folder(folder: Path, number: int) -> Path:
    """Where what a trial leaves behind lies, below the folder of its run."""
    return folder / "trials" / f"{number:04d}"


@final
@dataclass(frozen=True)
class Job:
    """What one worker runs: one trial, or several that are trained together. Plain JSON."""

    trials: Sequence[int]
    seeds: Sequence[int]
    samples: Sequence[Sample]
    recipes: Sequence[Mapping[str, Any]]  # what the engine's `build` needs to make each model
    action: Literal["train", "test"] = "train"

    @classmethod
    def of(cls, trials: Sequence[Trial], recipes: Sequence[Mapping[str, Any]]) -> Self:
        """Returns the job that trains some trials."""
        numbers, seeds = [t.number for t in trials], [t.seed for t in trials]
        return cls(numbers, seeds, [t.sample for t in trials], recipes)

    @property
    def number(self) -> int:
        """The number of its first trial, by which a job is known."""
        return self.trials[0]

    def parts(self, count: int) -> list[Self]:
        """Smaller jobs with the same trials, `count` if there are as many trials."""
        size = -(-len(self.trials) // count)
        return [self._only(slice(at, at + size)) for at in range(0, len(self.trials), size)]

    def alone(self, trials: Collection[int]) -> list[Self]:
        """Jobs with some of its trials, one for each."""
        places = [i for i, number in enumerate(self.trials) if number in trials]
        return [self._only(slice(i, i + 1)) for i in places]

    def _only(self, part: slice) -> Self:
        seeds, samples, recipes = self.seeds[part], self.samples[part], self.recipes[part]
        return type(self)(self.trials[part], seeds, samples, recipes, self.action)


@final
@dataclass(frozen=True)
class Setup:
    """What all jobs of a run have in common: plain JSON, sent to each worker once."""

    engine: str  # the engine's import path, for its `build`
    evaluator: Mapping[str, Any]  # config node
    data: Mapping[str, Any]  # config node
    search: tuple[str, ...]  # the labels of a sample that are paths into the config
    trust: tuple[str, ...]  # import prefixes the user trusts beside our own
    folder: Path  # the run's folder
    keep_weights: bool = True

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for another process of this machine."""
        return {**vars(self), "folder": str(self.folder.resolve())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        lists = {name: tuple(data[name]) for name in ("search", "trust")}
        return cls(**{**data, **lists, "folder": Path(data["folder"])})


@final
@dataclass(frozen=True)
class Gain:
    """What fusing a group brought, for the user."""

    models: int
    launches: int = 0  # calls in a step, where the models alone make
    operations: int = 0  # so many
    speedup: float = 1.0  # of a step, over one model after another
    why: str = ""  # why the models are trained one after another; empty: they are not


@final
@dataclass(frozen=True)
class Report:
    """What a running job says about one of its trials."""

    trial: int
    kind: Literal["started", "metrics", "finished", "stopped", "failed", "grouped"]
    metrics: Metrics = field(default_factory=dict)
    failure: Failure | None = None
    gain: Gain | None = None  # of a job of several trials, once it is known

    @property
    def data(self) -> Mapping[str, Any]:
        """The report of one trial as the record keeps it: its failure, else its metrics."""
        return self.metrics if self.failure is None else vars(self.failure)
