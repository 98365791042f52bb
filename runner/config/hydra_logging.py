"""What the logging nodes of Hydra may hold: Hydra hands them to `logging.config`, which imports
and calls what they name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner.config.allowlist import below, how_to_trust
from runner.errors import ConfigError, as_yaml

LOGGING = ("hydra_logging", "job_logging")
FACTORIES = ("()", "class")  # keys that name code
HANDLERS = (
    "logging.StreamHandler", "logging.FileHandler", "logging.NullHandler", "logging.Formatter",
    "logging.handlers.RotatingFileHandler", "logging.handlers.TimedRotatingFileHandler",
    "rich.logging.RichHandler", "colorlog.ColoredFormatter",
)  # fmt: skip
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
FOLDERS = r"\$\{hydra\.(runtime\.output_dir|sweep\.dir)\}"  # Hydra makes these texts
LOG_FILE = re.compile(rf"{FOLDERS}/([\w-]+|\$\{{hydra\.job\.name\}})\.log")
FILE_PARTS = re.compile(rf"([^$]|{FOLDERS}|\$\{{hydra\.job\.name\}})*")
# What may be interpolated elsewhere: names and numbers, which cannot make a URL of a text.
TEXT = re.compile(r"(?!.*//)([^$]|\$(?!\{)|\$\{hydra\.job\.(name|num|id)\})*", re.DOTALL)
URL = re.compile(r"\s*\w+://")  # `logging.config` imports what follows `ext://`

# The parts of a logging node: those that are named, and the keys of each.
ROOMS: Mapping[str, Sequence[str]] = {
    "formatters": (*FACTORIES, "format", "fmt", "datefmt", "style", "validate", "defaults"),
    "filters": ("name",),
    "handlers": (*FACTORIES, "level", "formatter", "filters"),
    "loggers": ("level", "handlers", "propagate", "filters"),
}
PLAIN = ("version", "disable_existing_loggers", "incremental")


def check_logging(where: str, node: Any, trust: Sequence[str], sweep: str) -> None:
    """Raises ConfigError unless a logging node has nothing but formatters, filters, handlers and
    loggers of known kinds, whose files lie in the folder of the run. `sweep` is the folder of a
    sweep, as written."""
    require_mapping(where, node)
    for key, part in node.items():
        inner = f"{where}.{key}"
        if key in ROOMS:
            require_mapping(inner, part)
            for name, one in part.items():
                _check_part(f"{inner}.{name}", one, key, trust, sweep)
        elif key == "root":
            _check_part(inner, part, "loggers", trust, sweep)
        elif key in PLAIN:
            _check_value(inner, part)
            if key == "version" and part != 1:
                raise ConfigError(f"{inner} is {as_yaml(part)}; it must be 1.")
        else:
            raise ConfigError(
                f"{inner} is no key of a logging node, which has "
                f"{', '.join((*PLAIN, 'root', *ROOMS))}."
            )


def _check_part(where: str, part: Any, room: str, trust: Sequence[str], sweep: str) -> None:
    """Checks one formatter, filter, handler or logger."""
    if part is None:
        return
    require_mapping(where, part)
    named = [part[key] for key in FACTORIES if key in part]
    for key, value in part.items():
        inner = f"{where}.{key}" if re.fullmatch(r"[\w()]+", str(key)) else f"{where}[{key!r}]"
        if key in FACTORIES:
            _check_factory(inner, value, trust)
        elif key == "filename":
            _check_file(inner, value, sweep)
        elif key == "mode" and value != "a":
            raise ConfigError(f"{inner} is {as_yaml(value)}; a log is only appended to.")
        elif key in ROOMS[room] or (named and re.fullmatch(r"[a-z]\w*", str(key))):
            _check_value(inner, value)
        else:
            raise ConfigError(
                f"{inner} may not be set; {room[:-1]} '{where.rpartition('.')[2]}' has "
                f"{', '.join(ROOMS[room])}"
                f"{', and the arguments of its class' if room == 'handlers' else ''}."
            )


def _check_factory(where: str, value: Any, trust: Sequence[str]) -> None:
    refuse_interpolation(where, value)
    name = str(value)
    if name not in HANDLERS and not below(name, trust):
        text = f"{where} is {as_yaml(value)}, which is none of {', '.join(HANDLERS)}"
        raise ConfigError(f"{text}. {how_to_trust(name, trust)}")


def _check_file(where: str, value: Any, sweep: str) -> None:
    refuse_interpolation(where, value, FILE_PARTS)
    if not (isinstance(value, str) and LOG_FILE.fullmatch(value)):
        raise ConfigError(
            f"{where} is {as_yaml(value)}; log files lie in the folder of the run: "
            "${hydra.runtime.output_dir}/NAME.log."
        )
    if "hydra.sweep.dir" in value and not re.match(r"[^$:]*(/|$)", sweep):
        raise ConfigError(
            f"{where} lies in hydra.sweep.dir, which is {sweep!r}; then that must begin with the "
            "name of a folder."
        )


def _check_value(where: str, value: Any) -> None:
    """Checks the value of a plain key: numbers, texts, and lists and mappings of these."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not re.fullmatch(r"\w+", str(key)):
                raise ConfigError(f"{where} has the key {as_yaml(key)}; it must be a name.")
            _check_value(f"{where}.{key}", item)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_value(f"{where}[{i}]", item)
    elif isinstance(value, str):
        refuse_interpolation(where, value, TEXT)
        if URL.match(value) and value not in STREAMS:
            raise ConfigError(f"{where} is {value!r}; it may be {' or '.join(STREAMS)}.")


def require_mapping(where: str, value: Any) -> None:
    """Raises ConfigError for what is no mapping, and for an interpolation of one."""
    if isinstance(value, str) and "${" in value:
        raise ConfigError(
            f"{where} refers to another node, {value!r}; an interpolation may not stand there. "
            "Write the node out."
        )
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {as_yaml(value)}; it must be a mapping of keys to values.")


def refuse_interpolation(where: str, value: Any, but: re.Pattern[str] | None = None) -> None:
    """Raises ConfigError for a text with an interpolation, but one that matches a pattern."""
    if isinstance(value, str) and "${" in value and not (but and but.fullmatch(value)):
        raise ConfigError(f"{where} is {value!r}; an interpolation may not stand there.")
