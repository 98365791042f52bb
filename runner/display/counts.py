"""The progress of a run: counts, and the sentences that describe them."""

import time
from pathlib import Path
from typing import final

from runner.config.settings import Settings
from runner.display import format as text
from runner.goals import Goals
from runner.ranking import front, top
from runner.repeats import SampleResults
from runner.trial import Trial, epochs_of

NEWS = 5  # refused trials, and those that repeat another, that are shown, one line each
LONG = 300  # characters of a failure message; longer ones are cut


@final
class Tally:
    """The progress of a run: counts, the best trial, and the running trials."""

    def __init__(self, settings: Settings, goals: Goals) -> None:
        self.goals = goals
        self.total = settings.budget.trials * settings.repeat
        self.running: dict[int, Trial] = {}
        self.ended = 0
        self.failed = 0
        self.stopped = 0
        self.repeated = 0  # trials that share the result of another, from their proposal on
        self.reused = 0  # those of them that have ended
        self.refused = 0
        self.comparing = self.confirming = 0  # trials that ended after the search
        self.front: list[Trial] = []  # of the results so far; with one objective, the best trial
        self._repeats = SampleResults(settings.repeat)
        self._confirm = 1 if settings.confirm is None else settings.confirm.top
        self._best: list[Trial] = []  # of the results so far, those that will be confirmed
        self._new: list[Trial] = []  # the trainings that confirm them
        self._minutes = settings.budget.minutes
        self._epochs = settings.evaluator.get("epochs")
        self._begun = time.monotonic()
        self._ended_before = 0

    def begin(self) -> None:
        """Starts the clock of the rate."""
        self._begun = time.monotonic()
        self._ended_before = self.ended

    def take(self, trial: Trial) -> None:
        """Counts a trial that was recorded, reported, or ended."""
        if trial.running:
            if trial.number not in self.running:
                self.repeated += trial.duplicate_of is not None
                if trial.stage != "confirm":
                    self._repeats.see(trial)
            self.running[trial.number] = trial
            return
        self.running.pop(trial.number, None)
        self._judge(trial)
        if trial.refused and trial.duplicate_of is None:
            self.refused += 1
            return
        if trial.duplicate_of is not None:
            self.reused += 1
            return
        self.failed += trial.failed
        self.stopped += trial.stopped
        self.ended += trial.stage == "search"
        self.comparing += trial.stage == "baseline"
        self.confirming += trial.stage == "confirm"

    def _judge(self, trial: Trial) -> None:
        """Updates the best trials by the end of one."""
        if trial.stage == "confirm":
            self._new.append(trial)
        else:
            for seen in self._repeats.see(trial):
                if seen.scored and seen.duplicate_of is None:
                    self._take(seen)
        if self._new:
            self.front = top([*self._best, *self._new], max(1, len(self.front)))

    def _take(self, result: Trial) -> None:
        candidates = [*self.front, result]
        self.front = (self.goals.several and front(candidates)) or top(candidates, 1)
        self._best = top([*self._best, result], self._confirm)

    @property
    def best(self) -> Trial | None:
        """The best trial so far, of several objectives in the first one; None without a result."""
        return self.front[0] if self.front else None

    @property
    def goes_on(self) -> bool:
        """Whether trials run, or are to come as far as is known."""
        return self.ended < self.total or bool(self.running)

    @property
    def metric(self) -> str:
        """The metric of the only objective, or of the first of several."""
        return self.goals.objectives[0].metric

    def epochs(self, trial: Trial) -> int | None:
        """Returns the number of epochs of a trial; None if its evaluator has no such setting."""
        epochs, fidelity = epochs_of(trial.sample, self._epochs), self.goals.fidelity
        if epochs is None or fidelity is None or trial.parent is None:
            return epochs
        return epochs - fidelity.begin(trial.sample, trial.step)

    @property
    def done(self) -> float:
        """The number of completed trials; running ones count in part."""
        epochs = [(t.step, self.epochs(t)) for t in self.running.values()]
        return self.ended + sum(min(step / total, 1.0) for step, total in epochs if total)

    @property
    def pace(self) -> tuple[float, float] | None:
        """Trials per minute, and seconds left; None if unknown."""
        passed = time.monotonic() - self._begun
        done = self.done - self._ended_before
        if passed < 1.0 or done <= 0:
            return None
        left = max(self.total - self.done, 0) * passed / done
        if self._minutes is not None:
            left = min(left, max(60 * self._minutes - passed, 0))
        return 60 * done / passed, left


def head_line(settings: Settings, folder: Path) -> str:
    """Describes the search: its space, strategy, budget and folder."""
    budget, limit = settings.budget, ""
    if budget.minutes is not None:
        limit += f" or {budget.minutes:g} min"
    if budget.epochs is not None:
        limit += f" or {text.counted(budget.epochs, 'epoch')}"
    if budget.cost is not None:
        limit += f" or {budget.cost.limit:g} of {text.clean(budget.cost.metric)}"
    screen = "" if settings.screen is None else f", screened by {text.clean(settings.screen.proxy)}"
    return (
        f"Searching {text.name(settings.space)} with {text.name(settings.strategy)}{screen}: "
        f"{text.counted(budget.trials, 'trial')}{limit}, seed {settings.seed}, in "
        f"{text.near(folder)}"
    )


def resumed_line(tally: Tally) -> str:
    again = sum(trial.duplicate_of is None for trial in tally.running.values())
    rest = f", {again} to be repeated" if again else ""
    return f"Resumed with {text.counted(tally.ended + len(tally.running), 'trial')}{rest}."


def news_line(trial: Trial, tally: Tally, folder: Path, *, whole: bool) -> str:
    """Returns the message shown at once if a trial is a duplicate, failed, was stopped early, or
    has no result. A long reason is cut, unless `whole`."""
    number = f"trial {trial.number}"
    if trial.duplicate_of is not None:
        line = f"{number} repeats trial {trial.duplicate_of}: its result is reused"
        return _bounded(line, tally.repeated) if trial.running else ""
    if trial.failure is not None:
        why = str(trial.failure) if whole else text.cut(str(trial.failure), LONG)
        if trial.refused:
            return _bounded(f"{number} was {why}", tally.refused)
        name, took = trial_text(trial, tally.goals), took_text(trial, " after ")
        place = _trace(trial, folder)
        return f"{name} failed{took}: {why.removesuffix('.') if place else why}{place}"
    if trial.stopped:
        return _stopped_line(trial, tally)
    if not trial.running and not trial.scores:
        there = ", ".join(f"{k}={text.number(v)}" for k, v in trial.metrics.items())
        return f"{number} has no {tally.metric} to compare; it reported {there or 'nothing'}"
    return ""


def _bounded(line: str, count: int) -> str:
    """Returns a line of a kind of which `count` were due so far: empty from some number on, as the
    last one says."""
    return "" if count > NEWS else line + ("; further ones are counted" if count == NEWS else "")


def _stopped_line(trial: Trial, tally: Tally) -> str:
    epochs, metric = tally.epochs(trial), tally.metric
    trained = text.counted(trial.step, "report")
    if epochs:
        trained = f"{trial.step} of {text.counted(epochs, 'epoch')}"
    last = f": {metric} {value_text(trial, metric)}" if metric in trial.metrics else ""
    return f"trial {trial.number} stopped after {trained}{last}"


def _trace(trial: Trial, folder: Path) -> str:
    """Points to the details of a failure: its traceback, or the output before a crash."""
    for name in ("error.txt", "output.txt"):
        place = Path("trials", f"{trial.number:04d}", name)
        if (folder / place).is_file() and (folder / place).stat().st_size:
            return f"; see {place}"
    return ""


def how_far_line(tally: Tally) -> str:
    pace = f", {rate_text(tally.pace[0])}, {text.clock(tally.pace[1])} left" if tally.pace else ""
    running = [t for t in tally.running.values() if t.started_at is not None]
    steps = [f"trial {t.number} at {_step(t, tally.epochs(t))}" for t in running[:4]]
    more = f" and {len(running) - 4} more" if len(running) > 4 else ""
    return "; ".join([f"{tally.ended}/{tally.total} trials{pace}", *steps]) + more


def _step(trial: Trial, epochs: int | None) -> str:
    return f"epoch {trial.step}/{epochs}" if epochs else f"report {trial.step}"


def summary_line(tally: Tally) -> str:
    counts = f" ({counts_text(tally)})" if counts_text(tally) else ""
    return f"{tally.ended} of {text.counted(tally.total, 'trial')} done{counts}; {best_line(tally)}"


def counts_text(tally: Tally) -> str:
    counts = {
        "failed": tally.failed,
        "stopped early": tally.stopped,
        "reused": tally.reused,
        "refused": tally.refused,
        "to compare": tally.comparing,
        "to confirm": tally.confirming,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def best_line(tally: Tally) -> str:
    best = tally.best
    if best is None:
        return "no result yet"
    figures = " ".join(
        f"{text.clean(one.metric)} {value_text(best, one.metric)}" for one in tally.goals.objectives
    )
    many = f"{len(tally.front)} trials on the front, " if len(tally.front) > 1 else ""
    broken = "" if best.feasible else ", which breaks a constraint"
    return f"{many}best {figures}, trial {best.number}{broken}"


def value_text(trial: Trial, metric: str) -> str:
    return text.figure_of(metric, trial.metrics, trial.deviations)


def trial_text(trial: Trial, goals: Goals) -> str:
    """Names a trial, its rung if it is not the highest, and which one it repeats, if any."""
    if trial.repeat_of is not None:
        does = "confirms" if trial.stage == "confirm" else "repeats"
        return f"trial {trial.number} ({does} trial {trial.repeat_of})"
    if goals.fidelity is None or not trial.partial:
        return f"trial {trial.number}"
    return f"trial {trial.number} at {goals.fidelity.key}={trial.sample[goals.fidelity.key]}"


def took_text(trial: Trial, before: str) -> str:
    """Returns how long a trial ran; empty if it never did."""
    return "" if trial.seconds is None else before + text.duration(trial.seconds)


def rate_text(per_minute: float) -> str:
    return f"{per_minute:.1f}/min" if per_minute >= 1 else f"{60 * per_minute:.0f}/h"
