"""Runs a search: its parts, its loop, and its end. No torch before the workers start."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.errors import ConfigError, Interrupted, RunnerError
from runner.goals import Goals
from runner.report.refresh import ReportRefresh
from runner.resume import resume_command, resume_override
from runner.store import RECORD, Store, has_events, read, read_config
from runner.training.fork_server import head_start
from runner.training.pilot import dismiss_all
from runner.trial import Trial
from runner.weight_keeper import WeightKeeper

SLURM = "runner.training.slurm.Slurm"  # whose jobs go on while there is no driver
log = logging.getLogger(__name__)


def search(
    settings: Settings, folder: Path, *, is_latest: bool = True, goes_on: bool = False
) -> float | None:
    """Runs or resumes a search in a folder, exports the best models, and returns the best value of
    the first objective. With `is_latest`, `outputs/latest` points to it. With `goes_on`, a trial
    whose workers die too often ends the run, and the same search in the same folder goes on."""
    if settings.resume is None and has_events(folder) and not (goes_on and _is_cut(folder)):
        raise _taken(folder)
    if settings.training["_target_"] != SLURM:
        dismiss_all(folder)
    parts_of_workers = [settings.engine, settings.evaluator, settings.data]
    with (
        head_start(settings.training, parts_of_workers),
        progress.waiting("preparing the search") as ready,
    ):
        return _search(settings, folder, is_latest, goes_on, ready)


def _search(
    settings: Settings, folder: Path, is_latest: bool, goes_on: bool, ready: Callable[[], None]
) -> float | None:
    # Here: these import torch, while the server that forks the workers does so, too.
    from runner import parts
    from runner.experiment import Experiment
    from runner.limits import Budget
    from runner.rehearsal import rehearse
    from runner.search_end import SearchEnd

    stopper = parts.check(settings)
    engine = parts.make_engine(settings)
    space = parts.make_space(settings, engine)
    settings = _resumed(parts.with_first_samples(settings, space), folder)
    strategy = parts.make_strategy(settings, space)
    parts.check_group(settings, engine)
    rehearse(settings, engine)
    measured = parts.make_early_measures(settings, engine)
    prescreen = parts.make_prescreen(settings)
    parents = strategy.parents if engine.inherits else 0
    goals = Goals.of_settings(settings)
    with _stoppable(folder), ExitStack() as closing:
        service = parts.make_service(settings, folder, heirs=parents > 0)
        closing.callback(service.close)
        shown = progress.for_terminal(
            settings, goals, folder, plain=service.owns_terminal, before=ready
        )
        closing.callback(shown.end)
        report = ReportRefresh(folder, settings.report, shown.note)
        closing.callback(report.end)
        store = closing.enter_context(Store(folder, goals))
        feed = closing.enter_context(parts.make_feed(settings, folder, shown.note))
        _begin(store, settings)
        report.begin()
        feed.begin()
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
            on_end=_on_end(settings, folder, recent, lambda: strategy.needed, report),
            budget=Budget.of(settings.budget),
            seed=settings.seed,
            dedup=settings.dedup,
            epochs=settings.evaluator.get("epochs"),
            measure=measured.figures,
            further=parts.make_further_stages(settings, space, shown.note),
            prescreen=prescreen,
            goes_on=goes_on,
        ).run()
        shown.end()
        screened = "" if prescreen is None else prescreen.summary()
        end = SearchEnd(settings, folder, service, space, report, feed)
        return end.finish(screened)


def _is_cut(folder: Path) -> bool:
    """Returns whether a trial of the run in a folder has not ended."""
    try:
        return any(trial.running for trial in read(folder).trials)
    except RunnerError:
        return False


def _resumed(settings: Settings, folder: Path) -> Settings:
    """Returns the settings that go on with the run in a folder, if there is one. Raises ConfigError
    if it is one of another config."""
    if settings.resume is not None or not has_events(folder):
        return settings
    if _recorded(settings) != read_config(folder).config:
        raise _taken(folder)
    return settings.model_copy(update={"resume": str(folder)})


def _recorded(settings: Settings) -> dict[str, Any]:
    """Returns a config as the record has it."""
    plain: dict[str, Any] = settings.model_copy(update={"resume": None}).saved()
    return plain


def _begin(store: Store, settings: Settings) -> None:
    """Begins the record of a run, or continues it."""
    plain = _recorded(settings)
    if settings.resume is None:
        store.begin(plain)
    else:
        store.resume(plain)


def _on_end(
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
        report.see(trial)

    return see


@contextmanager
def _stoppable(folder: Path) -> Iterator[None]:
    """Stops the run in an orderly way on the first Ctrl-C (or SIGTERM); the second kills it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    noted: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        noted.append(number)
        signal.signal(number, signal.SIG_DFL)
        raise Interrupted(number)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException as error:
        if not noted and not isinstance(error, Interrupted):
            raise
        # A library that waits, such as Ray, makes an error of its own of it.
        stopped = error if isinstance(error, Interrupted) else Interrupted(noted[0])
        stopped.told = True
        command = resume_command(text.near(folder))
        if has_events(folder):
            progress.note(f"Stopped; the record is complete. Continue with: {command}")
        else:
            progress.stopped()
        if stopped is error:
            raise
        raise stopped from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
