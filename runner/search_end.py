"""What follows a search: the export of the best models, the report, and what is told."""

import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from runner import parts
from runner.comparison import verdict
from runner.config.instantiate import build
from runner.config.settings import Settings
from runner.data.data import Data
from runner.display import format as text
from runner.display import progress
from runner.display.tables import best_table, gains_text
from runner.export import Test, export
from runner.goals import Goals
from runner.log_feed import LogFeed
from runner.loggers.logger import BestModel
from runner.ranking import top
from runner.report.refresh import ReportRefresh
from runner.results import Run
from runner.space.space import Space
from runner.training.service import TrainingService
from runner.trial import TOP, Job, Metrics, Report, Trial

log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class SearchEnd:
    """The end of a search: what still needs its workers, and what is done with what it found."""

    settings: Settings
    folder: Path
    service: TrainingService
    space: Space
    report: ReportRefresh
    feed: LogFeed

    def finish(self, screened: str) -> float:
        """Exports the best models, shows what came out, and returns the best value of the first
        objective; NaN if there is none. `screened` is a sentence about the screen."""
        goals = Goals.of_settings(self.settings)
        evaluator = parts.make_evaluator(self.settings)
        with progress.waiting("exporting the best models"):
            run = Run(self.folder, self.settings.trust, self.settings.secrets)
            record = run.record
            best = top(record.trials, len(record.trials))
            tested = self._tested(run, best, trains=evaluator.trains)
        exported = evaluator.trains and tested
        where = f"The best models are in {_short(run.folder)}/{TOP}, as source with weights."
        told = [evaluator.notice, where if exported else "", self._reported(best)]
        trials = [replace(t, metrics=tested.get(t.number, t.metrics)) for t in record.trials]
        progress.show(best_table(trials, goals))
        found = verdict(trials, goals, noisy=evaluator.trains)
        for line in (found, screened, gains_text(record.gains), *self.service.notes(), *told):
            if line:
                progress.note(line)
        self.feed.finish(_found(run, tested))
        return best[0].metrics[goals.objectives[0].metric] if best else math.nan

    def _tested(self, run: Run, best: Sequence[Trial], *, trains: bool) -> dict[int, Metrics]:
        """Exports the best models, or looks up the test results of the best trial, if the evaluator
        trains none. Returns their metrics by number."""
        if trains:
            return export(run, best, self._tester(run), progress.note)
        return {t.number: {**t.metrics, **self._test(run, t)} for t in best[:1]}

    def _tester(self, run: Run) -> Test:
        """Returns what scores trained models on the test split; without one, says so once."""
        if run.settings.export.top and run.top(1):
            data: Data = build(run.settings.data, run.settings.trust)
            if not data.has_test:
                progress.note(
                    "The data has no test split, so exported models have no test metrics."
                )
                return lambda trial: {}
        return lambda trial: self._test(run, trial)

    def _test(self, run: Run, trial: Trial) -> Metrics:
        """Returns the test metrics of a trained model; none if it cannot be scored."""
        heard: list[Report] = []
        job = run.job(trial)
        self.service.submit(Job(job.trials, job.seeds, job.samples, job.recipes, action="test"))
        while not any(report.kind in ("finished", "failed") for report in heard):
            self.service.poll(heard.append, 1.0)
        end = heard[-1]
        if end.failure is not None:
            log.warning("Trial %s could not be scored on the test split: %s", trial.number,
                        end.failure)  # fmt: skip
        return dict(end.metrics)

    def _reported(self, best: Sequence[Trial]) -> str:
        """Writes the report. Returns where it is; empty if there is none."""
        from runner.report.choices import met_choices

        with progress.waiting("writing the report"):
            written = self.report.write(met_choices(self.space, [t.sample for t in best]))
        return f"The report is in {_short(written)}." if written else ""


def _found(run: Run, tested: Mapping[int, Metrics]) -> BestModel | None:
    """Returns what loggers are told of the best model: the first that was exported, or looked
    up."""
    if not tested:
        return None
    number, metrics = next(iter(tested.items()))
    place = run.folder / TOP / "1"
    return BestModel(number, metrics, place if place.is_dir() else None)


def _short(folder: Path) -> str:
    """Returns a folder as it would be typed in a shell, relative to the working directory."""
    return shlex.quote(str(text.near(folder)))
