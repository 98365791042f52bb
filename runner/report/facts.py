"""All that a report shows of a run, and the part of it that the page's script works on."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

from runner.constraints import UNITS
from runner.display import format as text
from runner.display.tables import busy_seconds
from runner.fidelity import Fidelity
from runner.goals import Goals, Objective
from runner.learning_curves import CurvePoint
from runner.ranking import front, results, top
from runner.repeats import merged
from runner.report.choices import SeenChoice, seen_choices
from runner.report.embedded import short
from runner.report.headings import headings
from runner.report.importance import Importance
from runner.resume import resume_command, task_command
from runner.space.choice import key
from runner.space.structure import Part
from runner.store import Record
from runner.trial import Metrics, Trial

RANKED = 100  # trials that have a rank
CURVES = 4  # metrics whose learning curves are in the page
VALUES = 120_000  # of all curves together


@final
@dataclass(frozen=True)
class RunFacts:
    """A run as its report shows it."""

    folder: Path
    record: Record
    reports: Mapping[int, Sequence[CurvePoint]]
    tested: Mapping[int, Metrics] = field(default_factory=dict)  # of exported models, on test
    parts: Sequence[Part] = ()  # of the space, if it could be asked
    environment: Mapping[str, str] = field(default_factory=dict)
    importance: Importance | None = None
    graph: str = ""  # a picture of the winner's graph, as SVG; "": there is none
    is_running: bool = False  # whether a search is writing this report
    notes: Sequence[str] = ()  # why something is not shown

    @property
    def name(self) -> str:
        """The folder of the run, without what leads to its `outputs`."""
        parts = self.folder.parts
        near = parts[parts.index("outputs") :] if "outputs" in parts else parts[-2:]
        return str(Path(*near))

    @property
    def resuming(self) -> str:
        """The command that continues the run."""
        return resume_command(text.near(self.folder))

    def command(self, task: str, *more: str) -> str:
        """Returns the command of a task on the run, with further overrides as they are typed."""
        return task_command(task, text.near(self.folder), *more)

    @property
    def place(self) -> str:
        """The folder in which the commands are to be run; "": they can be run anywhere."""
        return "" if text.near(self.folder).is_absolute() else str(Path.cwd())

    @property
    def first(self) -> Objective:
        """The objective, or the first of several."""
        return self.goals.objectives[0]

    @property
    def busy(self) -> float:
        """The seconds during which some trial ran."""
        return busy_seconds(self.trials)

    @property
    def trials(self) -> Sequence[Trial]:
        return self.record.trials

    @cached_property
    def goals(self) -> Goals:
        config = self.record.config
        bounds = config.get("constraints", [])
        return Goals.of(config["objective"], bounds, config.get("fidelity"))

    @cached_property
    def best(self) -> Sequence[Trial]:
        """The best trials, best first; trainings of one sample are one of them."""
        return top(self.trials, RANKED)

    @cached_property
    def front(self) -> Sequence[Trial]:
        """The trials with the best trade-offs; with one objective, the best one."""
        return front(self.trials)

    @cached_property
    def results(self) -> Sequence[Trial]:
        """The results to compare, in the order they ended; see `runner.ranking.results`."""
        return sorted(results(self.trials), key=lambda trial: (trial.ended_at or 0.0, trial.number))

    @cached_property
    def samples(self) -> Mapping[int, Trial]:
        """For each sample its first trial, with the means of all its trainings."""
        return {trial.number: trial for trial in merged(self.trials)}

    @cached_property
    def compared(self) -> Collection[int]:
        """The numbers of the results that keep all constraints."""
        return {trial.number for trial in self.results if trial.feasible}

    @property
    def has_confirmed(self) -> bool:
        """Whether samples were confirmed, which are ranked before all others."""
        return any(trial.confirmed for trial in self.results)

    @cached_property
    def improvements(self) -> Sequence[tuple[int, Trial]]:
        """The results of the search that were the best so far in the first objective, each with its
        place among all results. Once samples were confirmed, only those count."""
        found, best = [], -math.inf
        for place, trial in enumerate(self.results, start=1):
            counts = trial.stage == "search" and trial.feasible
            counts &= trial.confirmed or not self.has_confirmed
            if counts and trial.scores[0] > best:
                best = trial.scores[0]
                found.append((place, trial))
        return found

    @cached_property
    def choices(self) -> Sequence[SeenChoice]:
        return seen_choices(self.trials, self.parts)

    @cached_property
    def metrics(self) -> Sequence[str]:
        """All metrics: those that the search aims at first."""
        measured = [*(trial.metrics for trial in self.trials), *self.tested.values()]
        names = dict.fromkeys(name for metrics in measured for name in metrics)
        aims = [name for name in self.goals.metrics if name in names]
        return [*dict.fromkeys([*aims, *names])]

    @cached_property
    def curve_metrics(self) -> Sequence[str]:
        """The metrics whose learning curves are shown: those that trials reported more than once,
        objectives first."""
        several = [points for points in self.reports.values() if len(points) > 1]
        counts: dict[str, int] = {}
        for points in several:
            for name in points[0].metrics:
                counts[name] = counts.get(name, 0) + 1
        aims = [name for name in self.goals.metrics if name in counts]
        rest = sorted(counts.keys() - {*aims}, key=lambda name: (-counts[name], name))
        return [*aims, *rest][:CURVES]

    @cached_property
    def curves(self) -> Mapping[int, Sequence[Sequence[float]]]:
        """The learning curves of trials, best trials first, as many as the page has room for: a
        curve for each of `curve_metrics`."""
        found: dict[int, Sequence[Sequence[float]]] = {}
        left = VALUES
        ranks = [trial.number for trial in self.best]
        for number in dict.fromkeys([*ranks, *reversed([*self.reports])]):
            points = self.reports.get(number, ())
            left -= len(points) * len(self.curve_metrics)
            if left < 0:
                break
            if points:
                found[number] = [
                    [point.metrics.get(name, math.nan) for point in points]
                    for name in self.curve_metrics
                ]
        return found

    @cached_property
    def begins(self) -> Mapping[int, int]:
        """The epochs before the first report of those learning curves that go on from a parent."""
        fidelity, found = self.goals.fidelity, {}
        if fidelity is None:
            return {}
        by_number = {trial.number: trial for trial in self.trials}
        for number in self.curves:
            trial = by_number[number]
            parent = None if trial.parent is None else by_number.get(trial.parent)
            if parent is not None and _is_promoted(trial, parent, fidelity):
                found[number] = fidelity.begin(trial.sample, len(self.reports[number]))
        return {number: epoch for number, epoch in found.items() if epoch}

    def data(self) -> dict[str, Any]:
        """Returns what the script of the page works on, as JSON."""
        began = min((trial.proposed_at for trial in self.trials), default=0.0)
        texts = _Texts()
        places = [(choice.label, choice.places()) for choice in self.choices]
        goals = self.goals
        of_metrics, of_choices = headings(self.metrics, [choice.label for choice in self.choices])
        return {
            "headings": {"metrics": of_metrics, "choices": of_choices},
            "units": UNITS,
            "metrics": [text.clean(name) for name in self.metrics],
            "objectives": [
                {"metric": self.metrics.index(one.metric), "mode": one.mode}
                for one in goals.objectives if one.metric in self.metrics
            ],
            "constraints": [text.clean(one.text) for one in goals.constraints],
            "choices": [choice.data() for choice in self.choices],
            "best": [trial.number for trial in self.best],
            "front": [trial.number for trial in self.front] if goals.several else [],
            "importance": {label: short(share) for label, share in self._shares()},
            "trials": [self._row(trial, began, texts, places) for trial in self.trials],
            "texts": texts.found,
            "curves": {
                "metrics": [text.clean(name) for name in self.curve_metrics],
                "trials": {
                    str(number): [[short(value) for value in curve] for curve in curves]
                    for number, curves in self.curves.items()
                },
                "begins": {str(number): epoch for number, epoch in self.begins.items()},
            },
        }  # fmt: skip

    def _shares(self) -> Sequence[tuple[str, float]]:
        """The importance of choices, by their place among all."""
        if self.importance is None:
            return ()
        places = {choice.label: str(i) for i, choice in enumerate(self.choices)}
        return [(places[label], share) for label, share in self.importance.shares]

    def _row(
        self,
        trial: Trial,
        began: float,
        texts: "_Texts",
        places: Sequence[tuple[str, Mapping[str, int]]],
    ) -> list[Any]:
        """Returns a trial as `base.js` reads it."""
        failure = trial.failure
        is_repeat = trial.repeat_of is not None
        known = trial if is_repeat else self.samples.get(trial.owner, trial)
        metrics = {**known.metrics, **self.tested.get(trial.number, {})}
        spread = [short(known.deviations.get(name)) for name in self.metrics]
        return [
            trial.number,
            "refused" if trial.refused else trial.state.value,
            -1 if failure is None else texts.place(failure.reason),
            -1 if failure is None else texts.place(failure.text),
            _remark(trial, known),
            short(trial.proposed_at - began),
            short(trial.seconds),
            trial.step,
            [short(metrics.get(name)) for name in self.metrics],
            [
                where[key(trial.sample[label])] if label in trial.sample else -1
                for label, where in places
            ],
            int(trial.number in self.compared),
            trial.seed,
            spread if known.deviations else [],
            int(is_repeat),
        ]


@final
class _Texts:
    """Texts that several trials share, each once."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, words: str) -> int:
        """Returns the place of a text, which is added if it is new."""
        if words not in self._places:
            self._places[words] = len(self.found)
            self.found.append(text.clean(words))
        return self._places[words]


def _is_promoted(trial: Trial, parent: Trial, fidelity: Fidelity) -> bool:
    """Returns whether a trial has the sample of its parent, at the next rung."""
    one, other = trial.sample, parent.sample
    is_next = fidelity.rung(one) == fidelity.rung(other) + 1
    return is_next and fidelity.without_rung(one) == fidelity.without_rung(other)


def _remark(trial: Trial, result: Trial) -> str:
    """Says where a trial comes from, unless it is one of the search like any other, and what its
    figures are. `result` is the trial with the means of all trainings of its sample."""
    said = []
    if trial.duplicate_of is not None:
        said.append(f"result of trial {trial.duplicate_of}")
    if trial.repeat_of is not None:
        verb = "confirms" if trial.stage == "confirm" else "repeats"
        said.append(f"{verb} trial {trial.repeat_of}")
    elif trial.stage == "baseline":
        said.append("random, to compare")
    if trial.parent is not None:
        said.append(f"from trial {trial.parent}")
    if trial.partial:
        said.append("lower rung")
    if result.trainings > 1 or result.confirmed:
        what = "new training" if result.confirmed else "training"
        said.append(f"figures of {text.counted(result.trainings, what)}")
    elif trial.scored and not result.scored:
        said.append("no result: a repeat has none")
    if result.state.value == "finished" and result.scores and not result.feasible:
        said.append("breaks a constraint")
    return ", ".join(said)
