"""Composing the config with Hydra; its errors in our words, one line that says what to mend."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config import conf_folder
from runner.errors import ConfigError, did_you_mean, one_line


def compose_config(overrides: list[str]) -> DictConfig:
    """Compose with Hydra, as the program does; with its search path where it is running."""
    if GlobalHydra.instance().is_initialized():
        return compose("config", overrides=overrides)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("config", overrides=overrides)


def as_config_error(error: Exception) -> ConfigError | None:
    """What the user asked for wrongly, in one line; None when an error is not of that kind."""
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, HydraException | OmegaConfBaseException):
        return ConfigError(_plain(error))
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        return ConfigError(f"{error}. A group cannot be null; choose one of its options.")
    if isinstance(error, OSError):
        return ConfigError(f"{of_file(error)}.")
    return None


def of_file(error: OSError) -> str:
    """What went wrong with which file."""
    where = "" if error.filename is None else f": {str(error.filename)!r}"
    return f"{error.strerror or one_line(error)}{where}"


def _plain(error: Exception) -> str:
    """A message of Hydra's as one line, with the nearest key where a key is unknown."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = _sentences(lines).split(" Config search path")[0]
    if isinstance(error, OverrideParseException):
        return f"The override {error.override!r} cannot be read: {text}"
    key = getattr(error, "full_key", None) or _quoted(text)
    if key and "Could not override" in text:
        known = _known_keys()
        if key in known:
            group = key.split(".")[0]
            return f"There is no key {key!r} in the config with the option chosen for {group}."
        near = did_you_mean(key, known)
        more = (
            f" To give {key.split('.')[0]} another argument, write +{key}=..." if "." in key else ""
        )
        return f"There is no key {key!r} in the config.{near or more}"
    return text


def _sentences(lines: Sequence[str]) -> str:
    """Lines as one, with a mark where a line ended without any: a comma in a list of words."""
    if not lines:
        return ""
    ends = ["," if after[0].islower() else "." for after in lines[1:]] + ["."]
    marked = [ln if ln[-1] in ".:;,!?" else ln + end for ln, end in zip(lines, ends, strict=True)]
    return " ".join(marked)


def _quoted(text: str) -> str:
    parts = text.split("'")
    return parts[1] if len(parts) > 2 else ""


def _known_keys() -> list[str]:
    """All keys of the default config; none when it cannot be composed."""
    try:
        return _keys(OmegaConf.to_container(compose_config([])))
    except HydraException:
        return []


def _keys(node: object, path: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [path]
    below = [key for k, v in node.items() for key in _keys(v, f"{path}.{k}" if path else str(k))]
    return [path, *below] if path else below
