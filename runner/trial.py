"""Trials, jobs and reports: plain data exchanged by the loop, the record and the workers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self, final

from runner.errors import message
from runner.space.sample import Sample, generator

MODEL = "model.py"  # the source of a model, in the folder of its trial
OUTPUT = "output.txt"  # what was printed while it ran, in the same folder; never empty
WEIGHTS = "weights.safetensors"  # its trained weights, in the same folder
CHECKPOINT = "checkpoint.safetensors"  # where its training stands, in the same folder
STATE = "state.pt"  # what a user's training code needs to go on, there until the trial ends
TOP = "top"  # the folder of the exported models, in that of the run
OUT_OF_MEMORY = "out of memory"  # the reason of a failure
REFUSED = "refused"  # the reason of a failure before the trial could run
LONGEST = 1e9  # seconds for which a trial may have run
ENDS = ("finished", "stopped", "failed")  # kinds of final reports
Metrics = Mapping[str, float]  # name -> value, for example {"val/accuracy": 0.97}

# What a trial is for: the search itself, random samples that it is compared with, and the best
# samples once more, under new seeds.
StageName = Literal["search", "baseline", "confirm"]


class State(StrEnum):
    """The state of a trial. All but `RUNNING` are final."""

    RUNNING = "running"
    FINISHED = "finished"
    # Ended early on purpose. It keeps the metrics that it had reported, but is not compared with
    # trials that were trained to the end: it has no scores, and its weights are not kept.
    STOPPED = "stopped"
    FAILED = "failed"


@final
@dataclass(frozen=True)
class Failure:
    """The failure of a trial: a reason in one or two words, and one line of text."""

    # "error", "crashed", "out of memory", "timed out", "stalled", "not finite", "refused"
    reason: str
    text: str
    metrics: Metrics = field(default_factory=dict)  # why the trial was refused, in figures

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}"

    @property
    def data(self) -> dict[str, Any]:
        """The data to record."""
        figures = {"metrics": dict(self.metrics)} if self.metrics else {}
        return {"reason": self.reason, "text": self.text, **figures}

    @classmethod
    def refused(cls, refusal: Exception) -> "Failure":
        """Returns the failure of a trial whose sample was refused."""
        return cls(REFUSED, message(refusal), getattr(refusal, "metrics", {}))


@final
@dataclass(frozen=True)
class Proposal:
    """A sample that is to be tried next, and where it comes from."""

    sample: Sample
    parent: int | None = None  # the trial it was derived from, if any
    repeat_of: int | None = None  # the trial whose sample is trained again, under another seed
    stage: StageName = "search"
    random: bool = False  # whether it was drawn at random, whatever the results so far
    proxy: float | None = None  # the score by which a screen chose it, if one did


@final
@dataclass(frozen=True)
class Trial:
    """A proposed sample and its outcome."""

    number: int
    sample: Sample
    seed: int
    state: State = State.RUNNING
    metrics: Metrics = field(default_factory=dict)  # as last reported
    step: int = 0  # the number of reports, that is, of epochs
    # One per objective, more is better; () unless it was trained to the end, with a result.
    scores: tuple[float, ...] = ()
    violation: float = 0.0  # by how much it breaks constraints; 0: it keeps those that are known
    failure: Failure | None = None
    key: str = ""  # equal for equivalent trials; see `Engine.key`
    duplicate_of: int | None = None  # the trial whose result this one shares
    parent: int | None = None  # the trial it was derived from, if any
    proxy: float | None = None  # the score by which it was chosen before it was trained, if any
    partial: bool = False  # trained at a lower rung of the fidelity, not to the end
    stage: StageName = "search"
    random: bool = False  # drawn at random, whatever the results before
    repeat_of: int | None = None  # the trial whose sample it trains again, under another seed
    # Of several trainings of one sample taken as one trial, see `runner.repeats`:
    trainings: int = 1  # how many there are; the metrics are their means
    deviations: Metrics = field(default_factory=dict)  # the standard deviations of the metrics
    confirmed: bool = False  # these are new trainings, after the sample had been chosen
    proposed_at: float = 0.0  # seconds since the epoch
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def owner(self) -> int:
        """The number of the trial that owns the result and weights of this one."""
        return self.number if self.duplicate_of is None else self.duplicate_of

    @property
    def counts(self) -> bool:
        """Whether this is one of the trials that the budget of the search allows."""
        is_own = self.duplicate_of is None and self.repeat_of is None
        return is_own and self.stage == "search" and not self.refused

    @property
    def seconds(self) -> float | None:
        """The run time in seconds; None if the trial did not start or has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at

    @property
    def score(self) -> float | None:
        """The score of the only objective, or of the first of several; None without a result."""
        return self.scores[0] if self.scores else None

    @property
    def feasible(self) -> bool:
        """True if no constraint is known to be broken."""
        return self.violation == 0

    @property
    def running(self) -> bool:
        return self.state is State.RUNNING

    @property
    def failed(self) -> bool:
        return self.state is State.FAILED

    @property
    def stopped(self) -> bool:
        """True if the trial was ended early, on purpose; see `State`."""
        return self.state is State.STOPPED

    @property
    def refused(self) -> bool:
        """True if the trial did not run, since its sample is invalid; it costs no budget."""
        return self.failure is not None and self.failure.reason == REFUSED

    @property
    def scored(self) -> bool:
        """True if the trial was trained to the end, with a result to compare: neither stopped early
        nor on a lower rung."""
        return self.state is State.FINISHED and bool(self.scores) and not self.partial


def seconds(value: object) -> float:
    """Returns what a file, or another process, says of a number of seconds; 0.0 if it is none."""
    return value if isinstance(value, float) and 0.0 <= value < LONGEST else 0.0


def trial_seed(seed: int, number: int) -> int:
    """Returns the seed of a trial, which stays the same when the trial is run again."""
    return generator(seed, "trial", number).getrandbits(31)


def epochs_of(sample: Sample, usual: object) -> int | None:
    """Returns the number of epochs of a trial, which its sample may choose instead of the `usual`
    one of the config; None if that is unknown."""
    epochs = sample.get("evaluator.epochs", usual)
    return epochs if isinstance(epochs, int) and epochs > 0 else None


def trial_folder(folder: Path, number: int) -> Path:
    """Returns the folder of a trial's files, given that of its run."""
    return folder / "trials" / f"{number:04d}"


@final
@dataclass(frozen=True)
class Job:
    """The work of one worker: one trial, or several that are trained together. Plain JSON.

    A job that screens is of one trial that is to be proposed; it has a seed, a sample and a recipe
    for each of its candidates.
    """

    trials: Sequence[int]
    seeds: Sequence[int]
    samples: Sequence[Sample]
    recipes: Sequence[Mapping[str, Any]]  # the arguments of the engine's `build`, per model
    action: Literal["train", "test", "screen", "check"] = "train"
    known: Sequence[Metrics] = ()  # figures of the models that were measured before, if any
    parents: Sequence[int | None] = ()  # the trials that these were derived from

    @classmethod
    def of(cls, trials: Sequence[Trial], recipes: Sequence[Mapping[str, Any]]) -> Self:
        """Returns the job that trains these trials."""
        numbers, seeds = [t.number for t in trials], [t.seed for t in trials]
        parents = [t.parent for t in trials]
        return cls(numbers, seeds, [t.sample for t in trials], recipes, parents=parents)

    @property
    def number(self) -> int:
        """The number of its first trial, which identifies the job."""
        return self.trials[0]

    @property
    def reads(self) -> set[int]:
        """The trials whose files it may read: its own, those whose training it continues, and those
        whose weights it inherits."""
        found = {number for number in (*self.trials, *self.parents) if number is not None}
        for recipe in self.recipes:
            if parent := recipe.get("heritage", {}).get("parent"):
                found.add(parent["trial"])
        return found

    def parts(self, count: int) -> list[Self]:
        """Splits the job into `count` smaller ones, or one per trial if there are fewer trials."""
        size = -(-len(self.trials) // count)
        places = range(len(self.trials))
        return [self.only(places[at : at + size]) for at in places[::size]]

    def alone(self, trials: Collection[int]) -> list[Self]:
        """Returns one job for each of some of its trials."""
        places = [i for i, number in enumerate(self.trials) if number in trials]
        return [self.only([i]) for i in places]

    def only(self, places: Sequence[int]) -> Self:
        """Returns the job without its trials at other places."""
        return replace(
            self,
            trials=[self.trials[i] for i in places],
            seeds=[self.seeds[i] for i in places],
            samples=[self.samples[i] for i in places],
            recipes=[self.recipes[i] for i in places],
            known=[self.known[i] for i in places] if self.known else (),
            parents=[self.parents[i] for i in places] if self.parents else (),
        )


@final
@dataclass(frozen=True)
class Setup:
    """The common part of all jobs of a run: plain JSON, sent to each worker once."""

    engine: str  # import path, for its `build`
    evaluator: Mapping[str, Any]  # config node
    data: Mapping[str, Any]  # config node
    search: tuple[str, ...]  # labels of a sample that are paths into the config
    trust: tuple[str, ...]  # import prefixes trusted by the user
    folder: Path  # the run's folder
    keep_weights: bool = True
    measures: Mapping[str, Any] = field(default_factory=dict)  # config nodes, by name
    constraints: tuple[str, ...] = ()  # as the user wrote them
    fidelity: Mapping[str, Any] | None = None  # the fields of a `Fidelity`
    screen: Mapping[str, Any] | None = None  # the node of its proxy, and its batch size
    initial_weights: str | None = None  # the file that models start from; None: their own values
    secrets: tuple[str, ...] = ()  # what no report, traceback or file may show

    # A folder of this machine, where its workers share what they have loaded; None: they do not.
    shared_data: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON, for another process of this machine."""
        shared = self.shared_data and str(self.shared_data)
        return {**vars(self), "folder": str(self.folder.resolve()), "shared_data": shared}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Restores the result of `to_json`."""
        names = ("search", "trust", "constraints", "secrets")
        lists = {name: tuple(data[name]) for name in names}
        shared = data["shared_data"] and Path(data["shared_data"])
        folders = {"folder": Path(data["folder"]), "shared_data": shared}
        return cls(**{**data, **lists, **folders})


@final
@dataclass(frozen=True)
class Gain:
    """The gain of fusing a group."""

    models: int
    launches: int = 0  # calls per step, fused
    operations: int = 0  # calls per step, one model after another
    speedup: float = 1.0  # of a step, over one model after another
    why: str = ""  # why the models are not fused; empty: they are


@final
@dataclass(frozen=True)
class Report:
    """A message of a running job about one of its trials."""

    trial: int
    kind: Literal["started", "metrics", "finished", "stopped", "failed", "grouped"]
    metrics: Metrics = field(default_factory=dict)
    failure: Failure | None = None
    gain: Gain | None = None  # of a job of several trials, once it is known
    # Seconds since what it says, when it is heard. A trial that goes on from a checkpoint says that
    # it started as long ago as it has run in all.
    ago: float = field(default=0.0, compare=False)

    @property
    def data(self) -> Mapping[str, Any]:
        """The data to record: the failure, or else the metrics."""
        return self.metrics if self.failure is None else self.failure.data
