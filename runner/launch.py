"""Launches the task of a config, from the command line or from Python."""

import contextlib
import itertools
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.compose import changed, compose_config
from runner.config.composition_errors import as_config_error, of_file
from runner.config.settings import Settings, differences, settings_from
from runner.errors import ConfigError, RunFailed
from runner.store import RECORD, read

if TYPE_CHECKING:
    from runner.results import Run

TRACES = ("holder.json", "run.lock", "runner.log",
          *(f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")))  # fmt: skip
FREE = ("budget", "training", "export", "task", "resume")  # groups that may change on resume


def register_resolvers() -> None:
    """Registers the resolvers of the run's folder: a new one, or that of a resumed run."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("output_subdir", _output_subdir, replace=True)


def _run_folder(resume: str | None) -> str:
    if resume is not None and (Path(resume) / RECORD).is_file():
        return str(Path(resume).resolve())
    name = datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S")
    names = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
    return next(free for free in names if not Path(free).exists())


def _output_subdir(resume: str | None) -> str | None:
    """Returns where Hydra writes the composed config; None on resume, to keep the existing one."""
    return ".hydra" if resume is None else None


def execute(config: DictConfig, overrides: list[str], folder: Path) -> float | None:
    """Validates a composed config and runs its task in a folder. Raises RunnerError."""
    try:
        if config.resume is None:
            settings = settings_from(config, overrides)
        else:
            settings, folder = _resumed(config, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise as_config_error(error) or error from None
    from runner.config.check_arguments import check_arguments  # here: these import torch
    from runner.config.instantiate import build
    from runner.tasks.task import Task

    check_arguments(settings.task, settings.trust, "task", expected=Task)
    task: Task = build(settings.task, settings.trust)
    try:
        value: float | None = task.run(settings, folder)
    except OSError as error:
        raise RunFailed(
            f"{of_file(error)}. The record is safe; fix the cause, then continue with "
            f"resume={folder}."
        ) from error
    return value


def _resumed(config: DictConfig, overrides: list[str]) -> tuple[Settings, Path]:
    """Returns the settings of a recorded run with the requested changes. Raises ConfigError if
    anything but the budget, the training or the export changes."""
    folder = Path(str(config.resume)).resolve()
    record = read(folder)
    before = Settings.model_validate(record.config)
    now = settings_from(changed(before.model_dump(), config, overrides), [])
    if different := differences(before, now, FREE):
        raise ConfigError(
            f"The run in {config.resume} cannot continue with a different config; only "
            f"{', '.join(FREE[:3])} may change. Changed: {'; '.join(different)}."
        )
    done = sum(not trial.refused for trial in record.trials)
    if now.budget.trials < done and now.budget != before.budget:
        raise ConfigError(
            f"budget.trials is {now.budget.trials}, but the run in {config.resume} has "
            f"{done} trials already; it can only grow."
        )
    return now, folder


def run(overrides: Sequence[str] = (), folder: Path | str | None = None) -> "Run":
    """Runs a search from Python: `runner.run(["space=resnet", "budget.trials=8"])`.

    `folder` is that of the run, by default `outputs/<date>/<time>`. Raises RunnerError.
    """
    from runner.results import Run

    register_resolvers()
    given = list(overrides)
    try:
        config = compose_config(given)
        place = Path(config.resume or folder or _run_folder(None)).resolve()
        execute(config, given, place)
    except (HydraException, OmegaConfBaseException) as error:
        raise as_config_error(error, given) or error from None
    if not (place / RECORD).exists():
        raise ConfigError(
            f"task={config.task._target_.rpartition('.')[2]} creates no run to return."
        )
    return Run(place)


def leave_no_trace(folder: Path) -> None:
    """Removes the files written for a run that did not begin, and folders that become empty."""
    if (folder / RECORD).exists():
        return
    for handler in [*logging.root.handlers]:  # a late log message must not recreate the file
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    for name in TRACES:
        (folder / name).unlink(missing_ok=True)
    for place in (folder / ".hydra", folder, folder.parent, folder.parent.parent):
        with contextlib.suppress(OSError):  # missing, or not empty
            place.rmdir()
