"""Launches the task of a config, from the command line or from Python."""

import contextlib
import itertools
import logging
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.allowlist import KEYWORDS, lists
from runner.config.check_arguments import check_arguments, signature
from runner.config.compose import (
    OF_RUN,
    OF_TASK,
    changed,
    check_folders,
    compose_with_folder,
    freed,
    holds,
)
from runner.config.composition_errors import as_config_error, of_file
from runner.config.hidden_secrets import hidden_in, restored_config, restored_overrides
from runner.config.instantiate import build
from runner.config.settings import Settings, conf_folder, differences, settings_from
from runner.config.targets import locate
from runner.display import progress, silence
from runner.errors import ConfigError, RunFailed, RunnerError, SampleError, as_yaml
from runner.goals import Goals
from runner.resume import folder_of, resume_override
from runner.run_folder import check_links
from runner.space.choice import BadCandidates
from runner.space.space import search_space
from runner.store import RECORD, Record, delete_unbegun, has_events, read, read_config
from runner.tasks.task import Task
from runner.trust import RecordedConfig

if TYPE_CHECKING:
    from runner.results import Run

TRACES = ("config.yaml", "hydra.yaml", "overrides.yaml")  # written by Hydra
# These may change on resume.
FREE = ("budget", "training", "export", "confirm", "compare", "report", "logger", "trust")
OF_SESSION = ("task", "resume")  # these, too, since they are no part of the search


def register_resolvers() -> None:
    """Registers the resolvers of the run's folder: a new one, or that of a resumed run."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("output_subdir", _output_subdir, replace=True)


def _run_folder(resume: object) -> str:
    if folder := _writable_run(resume):
        return folder
    name = datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S")
    names = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
    return next(free for free in names if not Path(free).exists())


def _writable_run(resume: object) -> str:
    """Returns the folder of a run to continue, if Hydra may write its log there: not if this would
    follow a link, and not if Hydra would take its name for an interpolation."""
    try:
        folder = folder_of("resume", resume).resolve()
        check_links(folder)
    except (RunnerError, OSError, RuntimeError):  # to be reported by `execute`
        return ""
    if "${" in str(folder):
        return tempfile.mkdtemp(prefix="runner-")
    return str(folder) if has_events(folder) else ""


def _output_subdir(resume: object, *, _root_: DictConfig) -> str | None:
    """Returns where Hydra writes the composed config; None on resume, to keep the existing one,
    and None where this would follow a link."""
    if resume is not None:
        return None
    folder = OmegaConf.select(  # missing until the job runs
        _root_, "hydra.runtime.output_dir", throw_on_missing=False,
        throw_on_resolution_failure=False,
    )  # fmt: skip
    try:
        if folder is not None:
            check_links(Path(folder))
    except ConfigError:  # to be reported by `execute`
        return None
    return ".hydra"


def freed_for_run(arguments: Sequence[str]) -> list[str]:
    """Returns arguments in Hydra's syntax; those that give the secrets of a recorded run again need
    no plus."""
    return freed(arguments, _masked_keys(arguments))


def _masked_keys(arguments: Sequence[str]) -> Sequence[str]:
    """Returns the keys whose secrets the run that is named was saved without."""
    for one in arguments:
        key, _, value = one.partition("=")
        if f"{key}=" in OF_RUN:
            with contextlib.suppress(RunnerError, OSError, ValueError):  # reported by `execute`
                folder = folder_of(key, value.strip("'\""))
                return RecordedConfig.of(read_config(folder), folder).masked_keys()
    return ()


def execute(config: DictConfig, overrides: list[str], folder: Path) -> float | None:
    """Validates a composed config and runs its task in a folder. Raises RunnerError."""
    settings, folder = _settings(config, overrides, folder)
    return _run_task(settings, folder)


@progress.waiting("loading")
def _settings(config: DictConfig, overrides: list[str], folder: Path) -> tuple[Settings, Path]:
    """Returns the settings of a run and its folder, before anything is written there."""
    overrides = restored_overrides(overrides, hidden_in(config).overrides)
    config = restored_config(config)
    try:
        if config.resume is not None:
            return _resumed(config, overrides)
        settings = settings_from(config, overrides)
        task = _task_class(settings)
        before = _run_of(config) if task.of_run else None
        _check_used(task, settings, overrides, before.masked_keys() if before else ())
        if before is not None:
            settings = _of_run(before, config, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise as_config_error(error) or error from None
    check_links(folder)
    return settings, folder


def _run_task(settings: Settings, folder: Path) -> float | None:
    with progress.waiting("loading"):  # most tasks import torch
        kind = _task_class(settings)
        if kind.uses is not None and settings.resume is not None:
            raise ConfigError("resume continues a search; name the run of this task by run=FOLDER.")
        task: Task = build(settings.task, settings.trust)
    try:
        value: float | None = task.run(settings, folder)
    except BadCandidates as error:
        raise _with_key(error, settings) from error
    except OSError as error:
        if task.uses is not None:  # it makes no run
            raise RunFailed(f"{of_file(error)}.") from error
        if not has_events(folder):
            raise RunFailed(f"{of_file(error)}. The run has not begun.") from error
        raise RunFailed(
            f"{of_file(error)}. The record is safe; fix the cause, then continue with "
            f"{resume_override(folder)}."
        ) from error
    return value


def _with_key(error: BadCandidates, settings: Settings) -> ConfigError:
    """Returns an error about a choice of the space with the key of the config that lists its
    candidates, if any does."""
    found = [*lists(settings.model, "space")]
    for i, entry in enumerate(settings.mutators):
        found += lists(entry, f"space.mutators[{i}]")
    keys = [where for where, value in found if value == [*error.candidates]]
    if not keys:
        return error
    given = as_yaml(error.candidates)
    return ConfigError(
        f"{' or '.join(keys)} is {given}; it must list candidates, and each of them once. {error}"
    )


def _task_class(settings: Settings) -> type[Task]:
    """Returns the class of the task, whose node is checked. Raises ConfigError."""
    found: type[Task] = locate(settings.task["_target_"], settings.trust, "task")
    taken = signature(found) or {}
    for short, whole in OF_TASK.items():
        key = whole.partition(".")[2]
        if key in settings.task and key not in taken:
            takers = " and ".join(f"task={name}" for name in _takers(key))
            raise ConfigError(
                f"{short} is given, but task={_name(found)} takes none; it is for {takers}."
            )
    check_arguments(settings.task, settings.trust, "task", expected=Task)
    return found


def _takers(key: str) -> Iterator[str]:
    """Yields the names of the tasks that take a key."""
    for path in sorted((conf_folder() / "task").glob("*.yaml")):
        if key in OmegaConf.load(path):
            yield path.stem


def _name(task: type[Task]) -> str:
    """Returns the name of a task, as it is chosen."""
    return task.__module__.rpartition(".")[2]


def _check_used(
    task: type[Task], settings: Settings, overrides: Sequence[str], secrets: Sequence[str]
) -> None:
    """Raises ConfigError for an override that a task does not depend on. `secrets` are keys of the
    run that it is about."""
    if task.uses is None:
        return
    own = [key for key in settings.task if key not in KEYWORDS]
    takes = " and ".join(filter(None, (", ".join(own), ", ".join(task.uses)))) or "no keys"
    for override in OverridesParser.create().parse_overrides([*overrides]):
        key = str(override.key_or_group)
        if holds(key, secrets):
            continue
        if key.partition(".")[0] not in ("task", "trust", "hydra", *task.uses):
            raise ConfigError(
                f"{key} is given, but task={_name(task)} does not depend on it; it takes {takes}."
            )


def _run_of(config: DictConfig) -> RecordedConfig:
    """Returns the config of the run that a task is about."""
    folder = folder_of("run", config.task.run)
    return RecordedConfig.of(read_config(folder), folder)


def _of_run(before: RecordedConfig, config: DictConfig, overrides: list[str]) -> Settings:
    """Returns the settings of the run that a task is about, with overrides applied. Raises
    ConfigError if somebody else made the run and what it needs is not trusted now."""
    merged = changed(before.plain(), config, overrides)
    merged["task"] = config.task
    plain: Any = OmegaConf.to_container(merged)
    if isinstance(plain["trust"], list):
        before.check_trust(plain, plain["trust"])
    before.check_commands(plain, overrides)
    before.check_secrets(plain)
    return settings_from(merged, []).with_secrets_of(before.settings)


def _resumed(config: DictConfig, overrides: list[str]) -> tuple[Settings, Path]:
    """Returns the settings of a recorded run with the requested changes. Raises ConfigError if
    anything but the budget, the training, the export or the trust changes, or if somebody else made
    the run and what it needs is not trusted now."""
    folder = folder_of("resume", config.resume).resolve()
    check_links(folder)
    record = read(folder)
    before = RecordedConfig.of(record, folder)
    merged = changed(before.plain(), config, overrides)
    plain: Any = OmegaConf.to_container(merged)
    if isinstance(plain["trust"], list):
        before.check_trust(plain, plain["trust"])
    before.check_commands(plain, overrides)
    before.check_secrets(plain)
    now = settings_from(merged, []).with_secrets_of(before.settings)
    if different := differences(before.settings, now, (*FREE, *OF_SESSION)):
        raise ConfigError(
            f"The run in {config.resume} cannot continue with a different config; only "
            f"{', '.join(FREE)} may change. Changed: {'; '.join(different)}."
        )
    done = sum(trial.counts for trial in record.trials)
    if now.budget.trials < done and now.budget != before.settings.budget:
        raise ConfigError(
            f"budget.trials is {now.budget.trials}, but the run in {config.resume} has "
            f"{done} trials already; it can only grow."
        )
    _check_samples(record, now, folder)
    return now, folder


def _check_samples(record: Record, settings: Settings, folder: Path) -> None:
    """Raises RunFailed if a trial has a hyper-parameter that is no candidate: workers put it into
    the config, which was checked with the candidates alone."""
    choices = [*search_space(settings.search).choices]
    if (fidelity := Goals.of_settings(settings).fidelity) is not None:
        choices += fidelity.space.choices
    for trial in record.trials:
        for choice in choices:
            if choice.label not in trial.sample:
                continue
            try:
                choice.check(trial.sample[choice.label])
            except SampleError as error:
                raise RunFailed(
                    f"{folder / RECORD} is not a record of its config: in trial {trial.number}, "
                    f"{error}"
                ) from error


def run(overrides: Sequence[str] = (), folder: Path | str | None = None) -> "Run | None":
    """Runs a search from Python: `runner.run(["space=resnet", "budget.trials=8"])`.

    `folder` is that of the run, by default `hydra.run.dir`, which is `outputs/<date>/<time>`
    unless an override sets it. Returns None for a task that makes no run, such as
    `task=describe`. Raises RunnerError.
    """
    from runner.results import Run

    register_resolvers()
    silence.spoken.end()  # what happened before is none of a user's waiting
    given = list(overrides)
    try:
        check_folders(given)
        config, chosen = compose_with_folder(given)
    except (HydraException, OmegaConfBaseException) as error:
        raise as_config_error(error, given) or error from None
    given = [one for one in freed_for_run(given) if not one.lstrip("+~").startswith("hydra")]
    settings, place = _settings(config, given, Path(chosen if folder is None else folder).resolve())
    _run_task(settings, place)
    return Run(place, settings.trust, settings.secrets) if has_events(place) else None


def leave_no_trace(folder: Path, subdir: str | None = ".hydra", log: str = "runner") -> None:
    """Removes the files written for a run that did not begin, and its folder if that becomes empty;
    those above it that are new are the business of `HydraFolder`. `subdir` is where Hydra wrote the
    config, and `log` the name of the log."""
    if not delete_unbegun(folder):
        return
    for handler in [*logging.root.handlers]:  # a late log message must not recreate the file
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    (folder / f"{log}.log").unlink(missing_ok=True)
    inner = folder / (subdir or ".hydra")
    for name in TRACES:
        (inner / name).unlink(missing_ok=True)
    for place in (inner, folder):
        with contextlib.suppress(OSError):  # missing, or not empty
            place.rmdir()
