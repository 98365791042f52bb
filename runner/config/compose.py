"""Composes the config with Hydra."""

import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config.hydra_guard import guarded
from runner.config.secret_names import is_secret_name, variables
from runner.config.secrets import is_secret_key, masked_override
from runner.config.settings import conf_folder
from runner.errors import ConfigError, as_yaml, did_you_mean

MISSING = object()
# Keys that may be new.
OPEN = ("screen.", "evaluator.trainer.", "evaluator.trainer=", "hydra.sweeper.sampler.")
OF_RUN = ("resume=", "run=", "task.run=")
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
OF_TASK = {  # short forms of keys of a task
    "run": "task.run",
    "runs": "task.runs",
    "trial": "task.trial",
    "sample": "task.sample",
    "from": "task.start",
    "format": "task.format",
}
_one_at_a_time = threading.Lock()  # Hydra's state is global to the process


def compose_config(overrides: list[str]) -> DictConfig:
    """Composes the config as the program does, with Hydra's own search path if Hydra is running."""
    overrides = freed(overrides)
    with _one_at_a_time, _initialized():
        return compose("config", overrides=overrides)


def compose_with_folder(overrides: list[str]) -> tuple[DictConfig, str]:
    """Composes the config, and returns the folder of a run with it, which is `hydra.run.dir`."""
    overrides = freed(overrides)
    with _one_at_a_time, _initialized():
        config = compose("config", overrides=overrides, return_hydra_config=True)
    folder: str = OmegaConf.select(config, "hydra.run.dir")
    with open_dict(config):
        del config["hydra"]
    return config, folder


def check_folders(arguments: Sequence[str]) -> None:
    """Raises ConfigError for an override of the folder of a run that is no path: Hydra would take
    it for the name of a folder, or say only that it cannot be merged."""
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+")
        if key not in FOLDERS or "=" not in argument:
            continue
        [override] = OverridesParser.create().parse_overrides([argument])
        value = argument.partition("=")[2] if override.is_sweep_override() else override.value()
        if not isinstance(value, str) or not value or override.is_sweep_override():
            raise ConfigError(
                f"{key} is {as_yaml(value)}; it must be a folder, such as outputs/first. A name "
                f"that is no plain text is written in quotes, as in \"{key}='5'\"."
            )
        if r"\${" in value:
            raise ConfigError(
                f"{key} is {value!r}; Hydra cannot write to a folder whose name contains '${{'."
            )


@contextmanager
def _initialized() -> Iterator[None]:
    """The context of Hydra's search path: its own if Hydra is running."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with guarded(), initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


def freed(overrides: Sequence[str], secrets: Collection[str] = ()) -> list[str]:
    """Returns overrides in Hydra's syntax. Arguments next to an overridden `_target_` need no plus,
    because the new target determines which arguments exist; nor do secrets that are given again for
    a run, whose config has keys of its own: by their names, or since the run has them in the place
    of `secrets`. A list of objectives replaces the only one, which Hydra would try to merge, and
    constraints need no quotes."""
    is_of_run = any(one.startswith(OF_RUN) for one in overrides)
    overrides = [part for override in overrides for part in _written_out(override)]
    nodes = {node for override in overrides if (node := _with_target(override)) is not None}
    return [
        f"++{override}"
        if _belongs(override, nodes) or (is_of_run and _has_secret(override, secrets))
        else override
        for override in overrides
    ]


def holds(key: str, secrets: Collection[str]) -> bool:
    """Returns whether one of the keys of `secrets` is this key, or lies below it."""
    return any(f"{one}.".startswith((f"{key}.", f"{key}[")) for one in secrets)


def _has_secret(override: str, secrets: Collection[str]) -> bool:
    """Returns whether an override without a prefix gives a secret."""
    key, equals, value = override.partition("=")
    is_key = bool(equals) and "." in key and all(part.isidentifier() for part in key.split("."))
    names = any(map(is_secret_name, variables(value.strip("'\""))))
    is_secret = names or is_secret_key(key) or holds(key, secrets)
    return is_key and (is_secret or masked_override(override) != override)


def _written_out(override: str) -> list[str]:
    """Returns an override as Hydra's grammar needs it."""
    key, equals, value = override.partition("=")
    if key == "objective" and value.lstrip().startswith("["):
        return ["~objective", f"+{override}"]
    if key == "logger" and value == "null":  # which Hydra takes for no option of a group
        return ["logger=[]"]
    if key == "strategy.first" or override.startswith(OPEN):  # not there unless it is given
        return [f"++{override}"]
    if key in OF_TASK:
        return [f"++{OF_TASK[key]}{equals}{value}"]
    if key.lstrip("+") == "constraints":
        return [f"{key}{equals}{_COMPARED.sub(_quoted, value)}"]
    return [override]


_COMPARED = re.compile(r"""'[^']*'|"[^"]*"|[^\[\],'"]*[<>][^\[\],'"]*""")


def _quoted(found: re.Match[str]) -> str:
    text = found[0]
    return text if text[0] in "'\"" else f'"{text.strip()}"'


def _with_target(override: str) -> str | None:
    """Returns the key of the node whose `_target_` an override sets; None if it sets none."""
    key, _, value = override.lstrip("+").partition("=")
    if key.endswith("._target_"):
        return key.removesuffix("._target_")
    return key if re.match(r"\{(.*,)?\s*_target_\s*:", value) else None


def _belongs(override: str, nodes: Collection[str]) -> bool:
    """Returns whether an override without a prefix sets one of these nodes, or a key below one."""
    key, _, value = override.partition("=")
    parts = key.split(".")
    above = [".".join(parts[:i]) for i in range(1, len(parts))]
    if parts[-1] == "_target_":  # the node itself must exist
        above = above[:-1]
    if value.startswith("{"):
        above.append(key)
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
            near = did_you_mean(key, keys(OmegaConf.to_container(config)))
            raise ConfigError(f"There is no key {key!r} in the config of this run.{near}")
    return config


def keys(node: object, path: str = "") -> list[str]:
    """Returns the dotted paths of all keys of a plain config."""
    if not isinstance(node, dict):
        return [path]
    below = [key for k, v in node.items() for key in keys(v, f"{path}.{k}" if path else str(k))]
    return [path, *below] if path else below
