"""Composes the config with Hydra, and turns its errors into one line with a remedy."""

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.hydra_guard import guarded
from runner.config.settings import conf_folder
from runner.errors import ConfigError, did_you_mean, one_line

MISSING = object()
_one_at_a_time = threading.Lock()  # Hydra's state is global to the process


def compose_config(overrides: list[str]) -> DictConfig:
    """Composes the config as the program does, with Hydra's own search path if Hydra is running."""
    overrides = freed(overrides)
    with _one_at_a_time:
        if GlobalHydra.instance().is_initialized():
            return compose("config", overrides=overrides)
        with guarded(), initialize_config_dir(str(conf_folder()), version_base="1.3"):
            return compose("config", overrides=overrides)


def freed(overrides: Sequence[str]) -> list[str]:
    """Returns overrides in Hydra's syntax. Arguments next to an overridden `_target_` need no plus,
    because the new target determines which arguments exist."""
    targets = {override.partition("=")[0].lstrip("+") for override in overrides}
    nodes = {key.removesuffix("._target_") for key in targets if key.endswith("._target_")}
    return [
        f"++{override}" if _belongs(override.partition("=")[0], nodes) else override
        for override in overrides
    ]


def _belongs(key: str, nodes: Collection[str]) -> bool:
    """Returns whether a key without a prefix lies below one of these nodes."""
    parts = key.split(".")
    above = [".".join(parts[:i]) for i in range(1, len(parts))]
    if parts[-1] == "_target_":  # the node itself must exist
        above = above[:-1]
    return all(part.isidentifier() for part in parts) and any(path in nodes for path in above)


def changed(
    recorded: Mapping[str, Any], composed: DictConfig, overrides: Sequence[str]
) -> DictConfig:
    """Returns a recorded config with overrides applied. If one selects another option of a group,
    the group is taken from `composed`, the config composed from the overrides alone."""
    config: DictConfig = OmegaConf.create(dict(recorded))
    for override in OverridesParser.create().parse_overrides([*overrides]):
        key = str(override.key_or_group)
        if "." not in key and isinstance(OmegaConf.select(config, key), DictConfig):
            config[key] = composed[key]
        elif override.is_delete():
            raise ConfigError(f"A run cannot continue without {key!r}.")
        elif (
            override.is_add()
            or override.is_force_add()
            or OmegaConf.select(config, key, default=MISSING) is not MISSING
        ):
            OmegaConf.update(config, key, override.value(), merge=False)
        else:
            near = did_you_mean(key, _keys(OmegaConf.to_container(config)))
            raise ConfigError(f"There is no key {key!r} in the config of this run.{near}")
    return config


def as_config_error(error: Exception) -> ConfigError | None:
    """Returns a user error as one line; None for errors of other kinds."""
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, HydraException | OmegaConfBaseException):
        return ConfigError(_plain(error))
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        return ConfigError(f"{error}. A group cannot be null; choose one of its options.")
    if isinstance(error, yaml.YAMLError):
        return ConfigError(f"A config file cannot be read: {' '.join(str(error).split())}.")
    if isinstance(error, OSError):
        return ConfigError(f"{of_file(error)}.")
    return None


def of_file(error: OSError) -> str:
    """Returns the message of an error of the operating system, with its file."""
    where = "" if error.filename is None else f": {str(error.filename)!r}"
    return f"{error.strerror or one_line(error)}{where}"


def _plain(error: Exception) -> str:
    """Returns one of Hydra's messages as one line, with the nearest key if a key is unknown."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = _sentences(lines).split(" Config search path")[0]
    if isinstance(error, OverrideParseException):
        return f"The override {error.override!r} cannot be read: {text}"
    key = getattr(error, "full_key", None) or _quoted(text)
    if key and "Could not override" in text:
        known = _known_keys()
        if key in known:
            group = key.split(".")[0]
            return f"There is no key {key!r} in the config with the selected option of {group}."
        near = did_you_mean(key, known)
        more = f" A new argument needs a plus: +{key}=..." if "." in key else ""
        return f"There is no key {key!r} in the config.{near}{more}"
    return text


def _sentences(lines: Sequence[str]) -> str:
    """Joins lines into sentences, adding a comma or a full stop to those without punctuation."""
    if not lines:
        return ""
    ends = ["," if after[0].islower() else "." for after in lines[1:]] + ["."]
    marked = [ln if ln[-1] in ".:;,!?" else ln + end for ln, end in zip(lines, ends, strict=True)]
    return " ".join(marked)


def _quoted(text: str) -> str:
    parts = text.split("'")
    return parts[1] if len(parts) > 2 else ""


def _known_keys() -> list[str]:
    """Returns all keys of the default config; none if it cannot be composed."""
    try:
        return _keys(OmegaConf.to_container(compose_config([])))
    except HydraException:
        return []


def _keys(node: object, path: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [path]
    below = [key for k, v in node.items() for key in _keys(v, f"{path}.{k}" if path else str(k))]
    return [path, *below] if path else below
