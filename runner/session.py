"""From a call, by command line or from Python, to a run of its task."""

import logging
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner import progress
from runner.config import Settings, conf_folder, differences, settings_from
from runner.errors import ConfigError, RunnerError, did_you_mean
from runner.store import RECORD, read

if TYPE_CHECKING:
    from runner.results import Run

FREE = ("budget", "training", "export", "task", "resume")  # may change when a run goes on
log = logging.getLogger(__name__)


def register_resolvers() -> None:
    """What the config finds the run's folder with: that of the run to go on with, or a new one."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("output_subdir", _output_subdir, replace=True)


def _run_folder(resume: str | None) -> str:
    if resume is not None and (Path(resume) / RECORD).is_file():
        return str(Path(resume).resolve())
    return datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S")


def _output_subdir(resume: str | None) -> str | None:
    """Where Hydra writes the composed config; nowhere when a run goes on, to keep what is there."""
    return ".hydra" if resume is None else None


def execute(config: DictConfig, overrides: list[str], folder: Path) -> float | None:
    """Check a composed config and run its task in a folder. Raises RunnerError."""
    settings = settings_from(config, overrides)
    if settings.resume is not None:
        settings, overrides, folder = _resumed(settings.resume, overrides)
    from runner.targets import build  # here and not above: this imports torch

    task = build(settings.task, settings.trust)
    value: float | None = task.run(settings, overrides, folder)
    return value


def _resumed(resume: str, overrides: list[str]) -> tuple[Settings, list[str], Path]:
    """The settings of a recorded run with the changes asked for now. Raises ConfigError when
    something else than the budget or the training changes."""
    folder = Path(resume).resolve()
    record = read(folder)
    before = Settings.model_validate(record.config)
    changes = [o for o in overrides if not o.startswith("resume=")]
    together = [*record.overrides, *changes]
    now = settings_from(_compose([*together, f"resume={resume!r}"]), together)
    if changed := differences(before, now, FREE):
        raise ConfigError(
            f"The run in {resume} cannot go on with another config; only "
            f"{', '.join(FREE[:3])} may change. Changed: {'; '.join(changed)}."
        )
    return now, together, folder


def _compose(overrides: list[str]) -> DictConfig:
    """Compose with Hydra, as the program does; with its search path where it is running."""
    if GlobalHydra.instance().is_initialized():
        return compose("config", overrides=overrides)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("config", overrides=overrides)


def run(overrides: Sequence[str] = (), folder: Path | str | None = None) -> "Run":
    """Run a search from Python: `runner.run(["space=resnet", "budget.trials=8"])`.

    `folder` is where it goes; `outputs/<date>/<time>` when it is None. Raises RunnerError.
    """
    from runner.results import Run

    register_resolvers()
    given = list(overrides)
    try:
        config = _compose(given)
        place = Path(folder or _run_folder(config.resume)).resolve()
        execute(config, given, place)
    except (HydraException, OmegaConfBaseException) as error:
        raise as_config_error(error) or error from None
    return Run(place)


def explain(error: RunnerError, folder: Path | None = None) -> None:
    """Say in one line what went wrong, and leave no folder of a run that did not begin."""
    progress.fail(str(error))
    if folder is not None and not (folder / RECORD).exists():
        logging.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def as_config_error(error: Exception) -> ConfigError | None:
    """What the user asked for wrongly, in one line; None when an error is not of that kind."""
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, HydraException | OmegaConfBaseException):
        return ConfigError(_plain(error))
    if isinstance(error, OSError):
        return ConfigError(f"{error.strerror}: {error.filename!r}.")
    return None


def _plain(error: Exception) -> str:
    """A message of Hydra's as one line, with the nearest key where a key is unknown."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines).split(" Config search path")[0]
    key = getattr(error, "full_key", None) or _quoted(text)
    if key and "Could not override" in text:
        near = did_you_mean(key, _known_keys())
        more = f" To give {key.split('.')[0]} another argument, write +{key}=..." if "." in key else ""
        return f"There is no key {key!r} in the config.{near or more}"
    return text


def _quoted(text: str) -> str:
    parts = text.split("'")
    return parts[1] if len(parts) > 2 else ""


def _known_keys() -> list[str]:
    """All keys of the default config; none when it cannot be composed."""
    try:
        return _keys(OmegaConf.to_container(_compose([])))
    except HydraException:
        return []


def _keys(node: object, path: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [path]
    below = [key for k, v in node.items() for key in _keys(v, f"{path}.{k}" if path else str(k))]
    return [path, *below] if path else below
