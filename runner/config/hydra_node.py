"""Checks the `hydra` node of a composed config against what it may hold: a list of keys, each with
the kind of its values. Everything else is refused.

Hydra acts on this node before the program starts: it builds callbacks, launchers and sweepers from
a `_target_`, hands its logging nodes to `logging.config`, sets variables of the environment, and
makes folders. So a key is here because what it does is known to be harmless, not because no harm
is known.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.allowlist import ConfigNode, below, check_targets, how_to_trust, nodes, values
from runner.config.hydra_logging import (
    LOGGING,
    check_logging,
    refuse_interpolation,
    require_mapping,
)
from runner.config.targets import imported, locate
from runner.errors import ConfigError, as_yaml, did_you_mean

PLUGINS = ("hydra._internal.core_plugins", "hydra_plugins")  # where Hydra itself looks for them
CALLBACKS = ("hydra.experimental.callbacks", "hydra_plugins")
OWN = "${output_subdir:${resume}}"  # null where a run is resumed
LATER = "???"  # set by Hydra when a job starts
WORD = re.compile(r"[\w.+-]*")
VARIABLES = re.compile(  # others, such as PYTHONPATH, decide which code runs
    r"[A-Z]+_NUM_THREADS|CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|LAUNCH_BLOCKING)|CUBLAS_WORKSPACE_CONFIG"
    r"|PYTORCH_(CUDA_)?ALLOC_CONF|NCCL_(P2P_DISABLE|IB_DISABLE|SOCKET_IFNAME)|TOKENIZERS_PARALLELISM"
    r"|PYTHONHASHSEED"
)


@final
@dataclass(frozen=True)
class KeyRule:
    """The values that a key of Hydra's may have, and what to say of others."""

    holds: Callable[[Any], bool]
    words: str


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_folder(value: Any) -> bool:
    return isinstance(value, str) and value not in ("", LATER)


def _is_static(value: Any) -> bool:
    """Returns whether a value names a file in the folder of the run, or nothing. An interpolation
    could become another name after the check."""
    return value is None or (
        isinstance(value, str)
        and value not in ("", ".", "..")
        and not re.search(r"[/\\]|\$\{", value)
    )


def _is_word(value: Any) -> bool:
    plain = value is None or isinstance(value, bool | int | float)
    return plain or (isinstance(value, str) and bool(WORD.fullmatch(value)))


def _is_number(value: Any) -> bool:
    return value == LATER or (type(value) is int and value >= 0)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_loggers(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return isinstance(value, bool) or all(
        isinstance(text, str) and "${" not in text for text in texts
    )


TEXT = KeyRule(_is_text, "it must be a text")
TEXTS = KeyRule(_are_texts, "it must be a list of texts")
FOLDER = KeyRule(_is_folder, "it must be a folder, such as outputs/first")
NAME = KeyRule(_is_static, "it must be the name of a file")
NUMBER = KeyRule(_is_number, "it must be a whole number from 0")
WORDS = KeyRule(lambda value: value == LATER or _is_word(value), "it must be a name")
LOGGERS = KeyRule(_are_loggers, "it must be true or loggers")
BY_HYDRA = KeyRule(lambda value: True, "")  # Hydra writes them itself, over what a file says
UNSET = KeyRule(lambda value: value == LATER, "it is set by Hydra; leave it out")

Keys = Mapping[str, "KeyRule | Keys"]
KEYS: Keys = {
    "mode": BY_HYDRA,  # an enum, by Hydra's own schema
    "searchpath": TEXTS,  # its entries are checked before they are used
    "run": {"dir": FOLDER},
    "sweep": {"dir": FOLDER, "subdir": FOLDER},
    "help": {"app_name": TEXT, "header": TEXT, "footer": TEXT, "template": TEXT},
    "hydra_help": {"hydra_help": TEXT, "template": TEXT},
    "env": {"*": WORDS},  # for interpolations of the user's own
    "output_subdir": KeyRule(lambda value: value == OWN or _is_static(value), NAME.words),
    "overrides": {"hydra": TEXTS, "task": TEXTS},
    "job": {
        "name": NAME,
        "chdir": KeyRule(lambda value: not value,
                         "a run goes to its folder without changing to it"),
        "override_dirname": BY_HYDRA,
        "config_name": BY_HYDRA,
        "id": WORDS,
        "num": NUMBER,
        "env_set": {"*": TEXT},
        "env_copy": TEXTS,
        "config": {"override_dirname": {"kv_sep": TEXT, "item_sep": TEXT, "exclude_keys": TEXTS}},
    },
    "runtime": {
        "output_dir": UNSET,
        **dict.fromkeys(("version", "version_base", "cwd", "config_sources", "choices"), BY_HYDRA),
    },
    "verbose": LOGGERS,
}  # fmt: skip


def check_hydra_node(node: DictConfig, trust: Sequence[str], overrides: Sequence[str] = ()) -> None:
    """Raises ConfigError, with a remedy, for what the `hydra` node may not hold. `overrides` are
    those of the command line, where a user may set any argument of a launcher or a sweeper."""
    _freeze_name(node)
    plain: Any = OmegaConf.to_container(node)
    sweep = str(plain["sweep"]["dir"])
    for key, value in plain.items():
        where = f"hydra.{key}"
        if key in LOGGING:
            check_logging(where, value, trust, sweep)
        elif key == "callbacks":
            _check_callbacks(value, trust)
        elif key in ("launcher", "sweeper"):
            choice = plain["runtime"]["choices"].get(f"hydra/{key}")
            _check_plugin(where, value, trust, _packaged(key, choice), overrides)
        else:
            _check_keys(where, value, KEYS.get(str(key)), [*KEYS], trust)
    _check_environment(plain["job"]["env_set"])


def _freeze_name(node: DictConfig) -> None:
    """Replaces the name of the job by its present value: an interpolation could become another
    name after the check."""
    if OmegaConf.is_interpolation(node.job, "name"):
        try:
            value = node.job.name
        except OmegaConfBaseException:  # it exists only while a job runs, and is refused
            return
        if isinstance(value, str | int):
            node.job.name = str(value)


def _check_keys(
    where: str, value: Any, rule: "KeyRule | Keys | None", siblings: Sequence[str],
    trust: Sequence[str],
) -> None:  # fmt: skip
    """Checks a value against the table of keys."""
    if rule is None:
        for inner, node in nodes(value, where):
            _check_node(inner, node, trust)
        above, _, name = where.rpartition(".")
        near = did_you_mean(name, siblings) or f" {above} has {', '.join(siblings)}."
        raise ConfigError(f"{where} may not be set.{near}")
    if isinstance(rule, KeyRule):
        if not rule.holds(value):
            raise ConfigError(f"{where} is {as_yaml(value)}; {rule.words}.")
        return
    require_mapping(where, value)
    for key, item in value.items():
        _check_keys(f"{where}.{key}", item, rule.get(str(key), rule.get("*")), [*rule], trust)


def _check_callbacks(value: Any, trust: Sequence[str]) -> None:
    require_mapping("hydra.callbacks", value)
    for name, callback in value.items():
        where = f"hydra.callbacks.{name}"
        if isinstance(callback, str):
            require_mapping(where, callback)
        if callback is not None and not (isinstance(callback, Mapping) and "_target_" in callback):
            raise ConfigError(f"{where} is {as_yaml(callback)}; it must have a _target_.")
        _check_interpolations(where, callback)
        for inner, node in nodes(callback, where):
            _check_node(inner, node, trust, CALLBACKS if inner == where else ())


def _check_plugin(
    where: str, value: Any, trust: Sequence[str], packaged: Any, overrides: Sequence[str]
) -> None:
    """Checks a launcher or a sweeper: of Hydra, installed or trusted, with the arguments that it
    is packaged with, that the command line sets, or that say no more than a number or a name."""
    require_mapping(where, value)
    _check_interpolations(where, value, packaged)
    for inner, node in nodes(value, where):
        _check_node(inner, node, trust, PLUGINS if inner == where else ())
    if "_target_" not in value:
        group = where.replace(".", "/")
        raise ConfigError(
            f"{where} has no _target_; choose an option of {group}, as in {group}=basic."
        )
    if below(str(value["_target_"]), trust):
        return
    given = [*_given_keys(where, overrides)]
    for key, item in value.items():
        inner = f"{where}.{key}"
        if key == "custom_search_space" and item is not None and not below(str(item), trust):
            raise ConfigError(f"{inner} calls {item}. {how_to_trust(str(item), trust)}")
        if key == "max_batch_size" and not (item is None or (type(item) is int and item > 0)):
            raise ConfigError(f"{inner} is {as_yaml(item)}; it must be a whole number from 1.")
        if key not in ("_target_", "params", "custom_search_space"):
            _check_argument(inner, item, (packaged or {}).get(key), given)


def _check_argument(where: str, value: Any, packaged: Any, given: Sequence[str]) -> None:
    """Checks an argument of a plugin. A file may only set plain ones: some are commands of a
    shell, and these are texts with more than a word, or lists of texts."""
    if value == packaged or any(below(where, [key]) for key in given):
        return
    if isinstance(value, Mapping):
        if "_target_" not in value:  # a node was checked
            for key, item in value.items():
                same = packaged.get(key) if isinstance(packaged, Mapping) else None
                _check_argument(f"{where}.{key}", item, same, given)
    elif not (
        _is_word(value)
        or (
            isinstance(value, list)
            and not any(isinstance(item, str | Mapping | list) for item in value)
        )
    ):
        raise ConfigError(
            f"{where} is {as_yaml(value)}; a file may set it to a number, true, false or a "
            f"name. If you trust it, give it as an override: {where}=..."
        )


def _given_keys(where: str, overrides: Sequence[str]) -> Iterator[str]:
    """Yields the keys of a node that overrides set, and those of the mappings they write out."""
    mine = [text for text in overrides if text.lstrip("+").startswith(f"{where}")]
    for override in OverridesParser.create().parse_overrides(mine):
        key = str(override.key_or_group)
        value = None if override.is_sweep_override() else override.value()
        if isinstance(value, dict) and value:
            yield from (inner for inner, _ in values(value, key))
        else:
            yield key


def _check_interpolations(where: str, value: Any, packaged: Any = None) -> None:
    """Raises ConfigError for interpolations in what Hydra builds, but those that are packaged."""
    if value == packaged and packaged is not None:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            same = packaged.get(key) if isinstance(packaged, Mapping) else None
            _check_interpolations(f"{where}.{key}", item, same)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_interpolations(f"{where}[{i}]", item)
    else:
        refuse_interpolation(where, value)


def _packaged(group: str, choice: Any) -> Any:
    """Returns the arguments that an installed plugin is packaged with; None if it says none."""
    try:
        found = ConfigStore.instance().load(f"hydra/{group}/{choice}.yaml")
    except HydraException:
        return None
    return OmegaConf.to_container(found.node)


def _check_node(
    where: str, node: ConfigNode, trust: Sequence[str], own: Sequence[str] = ()
) -> None:
    """Raises ConfigError for a node that Hydra would build and may not. `own` are the packages
    where it finds its own classes for this place."""
    path = str(node["_target_"])
    if re.fullmatch(r"hydra\.callbacks\.\w+", where):
        if not below(path, own):
            check_targets({where: {"_target_": path}}, trust)
        found = imported(path, where) if below(path, own) else locate(path, trust, where)
        if not (isinstance(found, type) and issubclass(found, Callback)):
            raise ConfigError(f"{where}._target_ {path!r} is not a hydra.experimental.Callback.")
    elif not below(path, own):  # Hydra builds nothing but plugins of these packages
        check_targets({where: node}, trust)
        locate(path, trust, where)


def _check_environment(variables: Mapping[str, str]) -> None:
    """Raises ConfigError for a variable of the environment that could change which code runs."""
    for name, value in variables.items():
        if not VARIABLES.fullmatch(name) and os.environ.get(name) != value:
            raise ConfigError(
                f"hydra.job.env_set.{name} could change which code runs; set it in the shell."
            )
