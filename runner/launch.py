"""From a call, by command line or from Python, to a run of its task."""

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

from runner.config.compose import as_config_error, changed, compose_config, of_file
from runner.config.settings import Settings, differences, settings_from
from runner.display import progress
from runner.errors import ConfigError, RunFailed, RunnerError
from runner.store import RECORD, read

if TYPE_CHECKING:
    from runner.results import Run

TRACES = ("holder.json", "run.lock", "runner.log",
          *(f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")))  # fmt: skip
FREE = ("budget", "training", "export", "task", "resume")  # may change when a run goes on


def register_resolvers() -> None:
    """What the config finds the run's folder with: that of the run to go on with, or a new one."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("output_subdir", _output_subdir, replace=True)


def _run_folder(resume: str | None) -> str:
    if resume is not None and (Path(resume) / RECORD).is_file():
        return str(Path(resume).resolve())
    name = datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S")
    names = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
    return next(free for free in names if not Path(free).exists())


def _output_subdir(resume: str | None) -> str | None:
    """Where Hydra writes the composed config; nowhere when a run goes on, to keep what is there."""
    return ".hydra" if resume is None else None


def execute(config: DictConfig, overrides: list[str], folder: Path) -> float | None:
    """Check a composed config and run its task in a folder. Raises RunnerError."""
    try:
        if config.resume is None:
            settings = settings_from(config, overrides)
        else:
            settings, folder = _resumed(config, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise as_config_error(error) or error from None
    from runner.config.instantiate import build  # here and not above: this imports torch

    task = build(settings.task, settings.trust)
    try:
        value: float | None = task.run(settings, folder)
    except OSError as error:
        raise RunFailed(
            f"{of_file(error)}. What was recorded is safe; mend the cause, then go on with "
            f"resume={folder}."
        ) from error
    return value


def _resumed(config: DictConfig, overrides: list[str]) -> tuple[Settings, Path]:
    """The settings of a recorded run with the changes asked for now. Raises ConfigError when
    something else than the budget, the training or the export changes."""
    folder = Path(str(config.resume)).resolve()
    record = read(folder)
    before = Settings.model_validate(record.config)
    now = settings_from(changed(before.model_dump(), config, overrides), [])
    if different := differences(before, now, FREE):
        raise ConfigError(
            f"The run in {config.resume} cannot go on with another config; only "
            f"{', '.join(FREE[:3])} may change. Changed: {'; '.join(different)}."
        )
    done = sum(not trial.refused for trial in record.trials)
    if now.budget.trials < done and now.budget != before.budget:
        raise ConfigError(
            f"budget.trials is {now.budget.trials}, but the run in {config.resume} has "
            f"{done} trials already; it may only grow."
        )
    return now, folder


def run(overrides: Sequence[str] = (), folder: Path | str | None = None) -> "Run":
    """Run a search from Python: `runner.run(["space=resnet", "budget.trials=8"])`.

    `folder` is where it goes; `outputs/<date>/<time>` when it is None. Raises RunnerError.
    """
    from runner.results import Run

    register_resolvers()
    given = list(overrides)
    try:
        config = compose_config(given)
        place = Path(config.resume or folder or _run_folder(None)).resolve()
        execute(config, given, place)
    except (HydraException, OmegaConfBaseException) as error:
        raise as_config_error(error) or error from None
    if not (place / RECORD).exists():
        raise ConfigError(
            f"task={config.task._target_.rpartition('.')[2]} leaves no run to return."
        )
    return Run(place)


def explain(error: RunnerError) -> None:
    """Say in one line what went wrong."""
    progress.fail(str(error))


def leave_no_trace(folder: Path) -> None:
    """Where no run began, remove what was written to its folder, and the folders this empties;
    what belongs to the user stays."""
    if (folder / RECORD).exists():
        return
    for handler in [*logging.root.handlers]:  # a late message must not want its file
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    for name in TRACES:
        (folder / name).unlink(missing_ok=True)
    for place in (folder / ".hydra", folder, folder.parent, folder.parent.parent):
        with contextlib.suppress(OSError):  # it is not there, or not empty
            place.rmdir()
