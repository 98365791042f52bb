"""Checks the `hydra` node of a composed config: what it names is code that Hydra would run.

Hydra builds callbacks, launchers and sweepers from a `_target_`, and hands its logging nodes to
`logging.config`, which calls factories.
"""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.allowlist import ConfigNode, below, check_targets, how_to_trust, nodes
from runner.config.targets import imported, locate
from runner.errors import ConfigError

PLUGINS = ("hydra._internal.core_plugins", "hydra_plugins")  # where Hydra itself looks for them
CALLBACKS = ("hydra.experimental.callbacks", "hydra_plugins")
NAMES = ("hydra.job.name", "hydra.output_subdir")  # in the folder of the run
LOGGING = ("hydra_logging", "job_logging")
OWN = "${output_subdir:"  # null where a run is resumed
FACTORIES = ("()", "class", "queue", "listener")  # keys that name code for `logging.config`
CODE = ("_target_", *FACTORIES)
HANDLERS = (
    "logging.StreamHandler", "logging.FileHandler", "logging.NullHandler", "logging.Formatter",
    "logging.handlers.RotatingFileHandler", "logging.handlers.TimedRotatingFileHandler",
    "rich.logging.RichHandler", "colorlog.ColoredFormatter",
)  # fmt: skip
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
LOG_FILE = re.compile(
    r"\$\{hydra\.(runtime\.output_dir|sweep\.dir)\}/([\w-]+|\$\{hydra\.job\.name\})\.log"
)
ACTED_ON = ("callbacks", "launcher", "sweeper", "hydra_logging", "job_logging")
PLACES = re.compile(  # what may be interpolated there: texts that Hydra itself makes
    r"([^$]|\$\{hydra\.(sweep\.dir|sweep\.subdir|runtime\.output_dir|job\.(name|num|id))\})*"
)
VARIABLES = re.compile(  # others, such as PYTHONPATH, decide which code runs
    r"[A-Z]+_NUM_THREADS|CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|LAUNCH_BLOCKING)|CUBLAS_WORKSPACE_CONFIG"
    r"|PYTORCH_(CUDA_)?ALLOC_CONF|NCCL_(P2P_DISABLE|IB_DISABLE|SOCKET_IFNAME)|TOKENIZERS_PARALLELISM"
    r"|PYTHONHASHSEED"
)


def check_hydra_node(node: DictConfig, trust: Sequence[str]) -> None:
    """Raises ConfigError if the `hydra` node names code that is neither Hydra's own, nor an
    installed plugin's, nor trusted, or if it would write outside the folder of a run."""
    plain: Any = OmegaConf.to_container(node)
    for where, key, written, value in _leaves(node, plain, "hydra"):
        room = where.split(".")[1].partition("[")[0]
        if room in ACTED_ON and (
            (key in CODE and "${" in written) or not PLACES.fullmatch(written)
        ):
            raise ConfigError(f"{where} is {written!r}; an interpolation may not stand there.")
        if where in NAMES and not _is_name(written, value):
            raise ConfigError(f"{where} is {written!r}; it must be the name of a file.")
        if where == "hydra.job.chdir" and value == "True":
            raise ConfigError(f"{where} is true; a run goes to its folder without changing to it.")
        if room in LOGGING:
            _check_logging(where, key, written, value, trust)
    for where, inner in nodes(plain, "hydra"):
        _check_node(where, inner, trust)
    for name, callback in plain["callbacks"].items():
        if callback is not None and not (isinstance(callback, dict) and "_target_" in callback):
            raise ConfigError(f"hydra.callbacks.{name} is {callback!r}; it must have a _target_.")
    space = OmegaConf.select(node, "sweeper.custom_search_space", default=None)
    if space is not None and not below(str(space), trust):
        text = f"hydra.sweeper.custom_search_space calls {space}"
        raise ConfigError(f"{text}. {how_to_trust(str(space))}")
    if not isinstance(plain["verbose"], bool | str | list):
        raise ConfigError(f"hydra.verbose is {plain['verbose']!r}; it must be true or loggers.")
    _check_environment(node)


def _leaves(node: Any, raw: Any, path: str) -> Iterator[tuple[str, str, str, str]]:
    """Yields the path and the key of each value of a node, and the value as a text, as written (in
    `raw`, its plain form) and as resolved. Raises ConfigError if a part of the node is an
    interpolation of another node."""
    listed = isinstance(node, ListConfig)
    for key in range(len(node)) if listed else [*node]:
        where = f"{path}[{key}]" if listed else f"{path}.{key}"
        try:
            value = node[key]
        except OmegaConfBaseException:  # one that exists only while a job runs
            value = None
        if isinstance(value, Container) and OmegaConf.is_interpolation(node, key):
            raise ConfigError(f"{where} refers to another node; write the node out.")
        if isinstance(value, Container):
            yield from _leaves(value, raw[key], where)
        else:
            yield where, str(key), str(raw[key]), str(value)


def _is_name(written: str, value: str) -> bool:
    """Returns whether a value names a file in the folder of the run, or nothing."""
    if value == "None":
        return written == "None" or written.startswith(OWN)
    return value not in ("", ".", "..") and not re.search(r"[/\\]", value)


def _check_node(where: str, node: ConfigNode, trust: Sequence[str]) -> None:
    """Raises ConfigError for a node that Hydra would build and may not."""
    path = str(node["_target_"])
    if where in ("hydra.launcher", "hydra.sweeper") and below(path, PLUGINS):
        return  # Hydra builds nothing but plugins there
    if re.fullmatch(r"hydra\.callbacks\.\w+", where):
        if not below(path, CALLBACKS):
            check_targets(_labelled(where, {"_target_": path}), trust)
        found = imported(path, where) if below(path, CALLBACKS) else locate(path, trust, where)
        if not (isinstance(found, type) and issubclass(found, Callback)):
            raise ConfigError(f"{where}._target_ {path!r} is not a hydra.experimental.Callback.")
        return
    check_targets(_labelled(where, node), trust)
    locate(path, trust, where)


def _labelled(where: str, node: ConfigNode) -> Any:
    """Returns a config that has the node at a path, for messages."""
    return {where: node}


def _check_logging(where: str, key: str, written: str, value: str, trust: Sequence[str]) -> None:
    """Raises ConfigError for a value of a logging node that calls what is no handler of logs, or
    writes a file elsewhere than in the folder of the run."""
    if key in FACTORIES and value not in HANDLERS and not below(value, trust):
        text = f"{where} is {value!r}, which is none of {', '.join(HANDLERS)}"
        raise ConfigError(f"{text}. {how_to_trust(value)}")
    for text in (written, value):
        if re.match(r"\s*\w+://", text) and text not in STREAMS:
            raise ConfigError(f"{where} is {text!r}; it may be {' or '.join(STREAMS)}.")
    if key == "mode" and value != "a":
        raise ConfigError(f"{where} is {value!r}; a log is only appended to.")
    if key == "filename" and not LOG_FILE.fullmatch(written):
        raise ConfigError(
            f"{where} is {written!r}; log files lie in the folder of the run: "
            "${hydra.runtime.output_dir}/NAME.log."
        )


def _check_environment(node: DictConfig) -> None:
    """Raises ConfigError for a variable of the environment that could change which code runs."""
    variables: Any = OmegaConf.to_container(node.job.env_set)
    for name, value in variables.items():
        if not VARIABLES.fullmatch(name) and os.environ.get(name) != value:
            raise ConfigError(
                f"hydra.job.env_set.{name} could change which code runs; set it in the shell."
            )
