"""The task `search`: runs the experiment, shows progress, and exports the best models."""

import logging
import math
import os
import shlex
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, final

from runner.config.instantiate import build
from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.errors import ConfigError, Interrupted, RunnerError
from runner.goals import Goals
from runner.ranking import top
from runner.report.refresh import ReportRefresh
from runner.resume import resume_command, resume_override
from runner.store import RECORD, Store, has_events, read
from runner.tasks.task import Task
from runner.training.fork_server import head_start
from runner.trial import Job, Metrics, Report, Trial
from runner.weight_keeper import WeightKeeper

if TYPE_CHECKING:
    from runner.data.data import Data
    from runner.export import Test
    from runner.results import Run
    from runner.space.space import Space
    from runner.training.service import TrainingService

log = logging.getLogger(__name__)


@final
class Search(Task):
    """A task that runs or resumes a search; all results are in the folder of the run."""

    def run(self, settings: Settings, folder: Path) -> float | None:
        return search(settings, folder)


def search(settings: Settings, folder: Path, *, is_latest: bool = True) -> float | None:
    """Runs or resumes a search in a folder, exports the best models, and returns the best value of
    the first objective. With `is_latest`, `outputs/latest` points to it."""
    if settings.resume is None and has_events(folder):
        raise _taken(folder)
    parts_of_workers = [settings.engine, settings.evaluator, settings.data]
    with head_start(settings.training, parts_of_workers):
        return _search(settings, folder, is_latest)


def _search(settings: Settings, folder: Path, is_latest: bool) -> float | None:
    # Here: these import torch, while the server that forks the workers does so, too.
    from runner import parts
    from runner.display.tables import gains_text
    from runner.experiment import Experiment
    from runner.limits import Budget
    from runner.rehearsal import rehearse
    from runner.results import Run

    stopper = parts.check(settings)
    engine = parts.make_engine(settings)
    space = parts.make_space(settings, engine)
    settings = parts.with_first_samples(settings, space)
    strategy = parts.make_strategy(settings, space)
    rehearse(settings, engine)
    measured = parts.make_early_measures(settings, engine)
    prescreen = parts.make_prescreen(settings)
    parents = strategy.parents if engine.inherits else 0
    goals = Goals.of_settings(settings)
    with _stoppable(folder), ExitStack() as closing:
        service = parts.make_service(settings, folder, heirs=parents > 0)
        closing.callback(service.close)
        shown = progress.for_terminal(settings, goals, folder, plain=service.owns_terminal)
        closing.callback(shown.end)
        report = ReportRefresh(folder, settings.report, shown.note)
        closing.callback(report.end)
        store = closing.enter_context(Store(folder, goals))
        _begin(store, settings)
        report.begin()
        if is_latest:
            _point_latest_at(folder)
        recent = parents and parents + service.slots * engine.group
        Experiment(
            space=space,
            strategy=strategy,
            stopper=stopper,
            engine=engine,
            service=service,
            store=store,
            progress=shown,
            on_end=_keeping(settings, folder, recent, lambda: strategy.needed, report),
            budget=Budget.of(settings.budget),
            seed=settings.seed,
            dedup=settings.dedup,
            epochs=settings.evaluator.get("epochs"),
            measure=measured.figures,
            further=parts.make_further_stages(settings, space, shown.note),
            prescreen=prescreen,
        ).run()
        shown.end()
        run = Run(folder, settings.trust)
        record = run.record
        best = top(record.trials, len(record.trials))
        tested, told = _tested(run, service, best)
        told += [_reported(report, space, best)]
    trials = [replace(t, metrics=tested.get(t.number, t.metrics)) for t in record.trials]
    screened = prescreen.summary() if prescreen is not None else ""
    further = [screened, gains_text(record.gains), *service.notes(), *told]
    _show_results(trials, goals, settings, further)
    return best[0].metrics[goals.objectives[0].metric] if best else math.nan


def _begin(store: Store, settings: Settings) -> None:
    """Begins the record of a run, or continues it."""
    plain = settings.model_copy(update={"resume": None}).model_dump()
    if settings.resume is None:
        store.begin(plain)
    else:
        store.resume(plain)


def _reported(report: ReportRefresh, space: "Space", best: Sequence[Trial]) -> str:
    """Writes the report of a search that has ended. Returns where it is; "" if there is none."""
    from runner.report.choices import met_choices

    with progress.waiting("writing the report"):
        written = report.write(met_choices(space, [trial.sample for trial in best]))
    return f"The report is in {_short(written)}." if written else ""


def _show_results(
    trials: Sequence[Trial], goals: Goals, settings: Settings, further: Sequence[str]
) -> None:
    """Shows the best trials, whether they are better than chance, and further sentences."""
    from runner import parts
    from runner.comparison import verdict
    from runner.display.tables import best_table

    progress.show(best_table(trials, goals))
    found = verdict(trials, goals, noisy=parts.make_evaluator(settings).trains)
    for line in (found, *further):
        if line:
            progress.note(line)


def _keeping(
    settings: Settings,
    folder: Path,
    recent: int,
    needed: Callable[[], Collection[int]],
    report: ReportRefresh,
) -> Callable[[Trial], None]:
    """Returns what is told of each trial that has ended, tells the report of it, and deletes files
    that nobody needs; `needed` returns the trials whose checkpoints are."""
    from runner import parts
    from runner.checkpoints import Checkpoints

    keep = settings.export.keep_weights
    if keep is not None and settings.confirm is not None:  # any of these may turn out the best
        keep = max(keep, settings.confirm.top)
    confirms = settings.confirm is not None
    weights = WeightKeeper(folder, keep, recent, settings.repeat, confirms=confirms)
    checkpoints = parts.make_checkpoint_keeper(settings, needed, folder, progress.note)
    own = Checkpoints(folder)

    def see(trial: Trial) -> None:
        weights.see(trial)
        if checkpoints is not None:
            checkpoints.see(trial)
        if not trial.running and not trial.partial:
            own.delete(trial.number)

    return see


def _tested(
    run: "Run", service: "TrainingService", best: Sequence[Trial]
) -> tuple[dict[int, Metrics], list[str]]:
    """Exports the best models, or looks up the test results of the best trial, if the evaluator
    trains none. Returns their metrics by number, and what to tell the user."""
    from runner import parts
    from runner.export import export

    evaluator = parts.make_evaluator(run.settings)
    if not evaluator.trains:
        looked_up: dict[int, Metrics] = {
            trial.number: {**trial.metrics, **_test(run, service, trial)} for trial in best[:1]
        }
        return looked_up, [evaluator.notice]
    tested = export(run, best, _tester(run, service), progress.note)
    where = f"The best models are in {_short(run.folder)}/top, as source with weights."
    return tested, [evaluator.notice, where if tested else ""]


def _tester(run: "Run", service: "TrainingService") -> "Test":
    """Returns what scores trained models on the test split; without one, says so once."""
    if run.settings.export.top and run.top(1):
        data: Data = build(run.settings.data, run.settings.trust)
        if not data.has_test:
            progress.note("The data has no test split, so exported models have no test metrics.")
            return lambda trial: {}
    return partial(_test, run, service)


def _test(run: "Run", service: "TrainingService", trial: Trial) -> dict[str, float]:
    """Returns the test metrics of a trained model; none if it cannot be scored."""
    heard: list[Report] = []
    job = run.job(trial)
    service.submit(Job(job.trials, job.seeds, job.samples, job.recipes, action="test"))
    while not any(report.kind in ("finished", "failed") for report in heard):
        service.poll(heard.append, 1.0)
    end = heard[-1]
    if end.failure is not None:
        log.warning("Trial %s could not be scored on the test split: %s", trial.number, end.failure)
    return dict(end.metrics)


@contextmanager
def _stoppable(folder: Path) -> Iterator[None]:
    """Stops the run in an orderly way on the first Ctrl-C (or SIGTERM); the second kills it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Interrupted(number)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Interrupted:
        command = resume_command(text.near(folder))
        if has_events(folder):
            progress.note(f"Stopped; the record is complete. Continue with: {command}")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _short(folder: Path) -> str:
    """Returns a folder as it would be typed in a shell, relative to the working directory."""
    return shlex.quote(str(text.near(folder)))


def _point_latest_at(folder: Path) -> None:
    """Points `outputs/latest` to this run, if it lies in an `outputs` folder."""
    root = next((p for p in folder.resolve().parents if p.name == "outputs"), None)
    if root is None:
        return
    link = root / f".latest-{os.getpid()}"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(folder.resolve().relative_to(root))
        link.replace(root / "latest")
    except OSError as error:  # a file system without symbolic links
        log.info("outputs/latest was not set: %s", error)


def _taken(folder: Path) -> ConfigError:
    """Returns the error for the folder of a new run in which there is a record already."""
    try:
        read(folder)
    except RunnerError as error:
        why = str(error.__cause__ or error).rstrip(".")
        return ConfigError(
            f"hydra.run.dir is {str(folder)!r}, whose {RECORD} cannot be read as the record of a "
            f"run ({why}); choose another folder, or delete that file."
        )
    return ConfigError(f"{folder} contains a run already; {resume_override(folder)} continues it.")
