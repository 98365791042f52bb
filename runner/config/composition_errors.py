"""Turns errors of Hydra and OmegaConf into one line with a remedy."""

import logging.config
import re
from collections.abc import Sequence
from traceback import extract_tb
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import KeyValidationError, OmegaConfBaseException

from runner.config.allowlist import below
from runner.config.check_arguments import signature
from runner.config.compose import compose_config, keys
from runner.config.hydra_guard import of_key
from runner.config.secrets import masked_override
from runner.config.targets import locate
from runner.errors import ConfigError, did_you_mean, one_line
from runner.masking import masker

OURS = ("runner", "spaces")  # their options list all arguments
# What a value must be, by the type of the one that it would replace.
MUST_BE = {"dict": "a mapping of keys to values", "list": "a list"}


def as_config_error(error: Exception, overrides: Sequence[str] = ()) -> ConfigError | None:
    """Returns a user error as one line; None for errors of other kinds. `overrides` are those of
    the config that could not be composed."""
    if isinstance(error, ConfigError):
        return error
    for override in overrides:
        if override.lstrip("+~").startswith("="):
            return ConfigError(f"The override {override!r} has no key; write KEY=VALUE.")
    if isinstance(error, HydraException | OmegaConfBaseException):
        return ConfigError(_plain(error, overrides))
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        return ConfigError(f"{error}. A group cannot be null; choose one of its options.")
    if any(frame.filename == logging.config.__file__ for frame in extract_tb(error.__traceback__)):
        cause = error.__cause__ or error
        why = f"{error}: {cause}" if cause is not error else one_line(error)
        return ConfigError(f"hydra.job_logging, or hydra.hydra_logging, is invalid: {why}.")
    if isinstance(error, TypeError) and _is_of_defaults(error):
        return ConfigError(
            "An option of a group is its name, or a list of names for a group such as logger: "
            "logger=[csv,tensorboard]."
        )
    if isinstance(error, yaml.YAMLError):
        return ConfigError(f"A config file cannot be read: {' '.join(_lines(error))}.")
    if isinstance(error, OSError):
        return ConfigError(f"{of_file(error)}.")
    return None


def _is_of_defaults(error: Exception) -> bool:
    """Returns whether Hydra failed while it looked for the chosen options."""
    frames = extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.endswith("hydra/_internal/defaults_list.py")


def of_file(error: OSError) -> str:
    """Returns the message of an error of the operating system, with its file."""
    where = "" if error.filename is None else f": {str(error.filename)!r}"
    return f"{error.strerror or one_line(error)}{where}"


def _plain(error: Exception, overrides: Sequence[str]) -> str:
    """Returns one of Hydra's messages as one line: of an unknown key, with the nearest one."""
    if isinstance(error.__cause__, ConfigError):
        return str(error.__cause__)
    lines = _lines(error)
    if not lines and error.__cause__ is not None:
        lines = _lines(error.__cause__)
    text = _of_schema(_sentences(lines).split(" Config search path")[0])
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override, text)
    cause: Any = error.__cause__ or error
    key = max(str(getattr(cause, "full_key", None) or ""), _quoted(text), key=len)
    if key and "Could not override" in text:
        return _unknown_key(key, _readable(overrides))
    if "Error merging override" in text:
        return _wrong_type(text.partition("override ")[2].rstrip("."), cause)
    return text


def _unreadable(override: str, why: str) -> str:
    """Returns what to say of an override that cannot be read: of one with a secret without the
    words of the parser, which have parts of it."""
    if (hidden := masked_override(override)) == override:
        return f"The override {override!r} cannot be read: {why}"
    return f"The override {hidden!r} cannot be read; quote its value, as in \"KEY='VALUE'\"."


SCHEMA = re.compile(
    r"(?P<file>In '[^']*': )?(\w+Error raised while composing config: )?(?P<what>.*?)[.,]? "
    r"full_key: (?P<key>[\w.\[\]]*)[,. ]*(reference_type=.*)?(object_type=.*)?"
)
SCHEMA_WORDS = (  # what OmegaConf says of a value that does not fit its schema, and what we say
    (r"field '.*' is not Optional", "is null; it must have a value"),
    (r"Incompatible value 'None' for field of type .*", "is null; it must have a value"),
    (r"Key '.*' not in '.*'", "is not a key of Hydra's"),
    (r"Merge error: .* is not a subclass of \w+\. value: (.*)",
     r"is \1; it must be a mapping of keys to values"),
    (r"Value ('.*') of type '\w+' could not be converted to (\w+)", r"is \1; it must be: \2"),
    (r"Invalid value ('.*'), expected one of \[(.*)\]", r"is \1; it must be one of \2"),
)  # fmt: skip


def _of_schema(text: str) -> str:
    """Returns a message of OmegaConf's without what it says of its classes, and with the key
    first."""
    found = SCHEMA.fullmatch(text)
    if not found:
        return text
    key, what = found["key"] or "a node of hydra", found["what"]
    for pattern, words in SCHEMA_WORDS:
        if match := re.fullmatch(pattern, what):
            return f"{found['file'] or ''}{key} {match.expand(words)}."
    return f"{found['file'] or ''}{key}: {what}."


def _unknown_key(key: str, overrides: Sequence[Override]) -> str:
    """Returns what to say of a key that the config does not have: twice given, or misspelt."""
    given = [o for o in overrides if _is_value(o) and f"{key}.".startswith(f"{o.key_or_group}.")]
    if len(given) > 1 and given[0].key_or_group != key:
        name = given[0].key_or_group
        return f"{name} is given {len(given)} times; give it once, as {name}={{...}}."
    chosen = [str(o.input_line) for o in overrides if not _is_value(o)]
    config = _composed(chosen)
    parent, _, name = key.rpartition(".")
    node = _at(config, parent)
    options = [line for line in chosen if line.partition("=")[0] == parent.split(".")[0]]
    which = f" with {options[-1]}" if options else ""
    text = f"There is no key {key!r} in the config{which}."
    if not parent or not isinstance(node, dict):
        return text + did_you_mean(key, keys(config))
    siblings = {str(each): f"{parent}.{each}" for each in node if each != "_target_"}
    near = did_you_mean(name, siblings)
    for each, path in siblings.items():
        near = near.replace(repr(each), repr(path))
    text += near or f" {parent} has {', '.join(siblings) or 'no keys'}."
    if "_target_" not in node or (near and below(str(node["_target_"]), OURS)):
        return text
    return text + _of_argument(config, node, key, bool(near))


def _of_argument(config: Any, node: Any, key: str, has_near: bool) -> str:
    """Returns what to say of an argument of a target that its option does not list."""
    parent, _, name = key.rpartition(".")
    above = parent.rpartition(".")[0]
    if node.get("_partial_") is True and name in (_at(config, above) or ()):
        return f" Did you mean {f'{above}.{name}'!r}?"  # what calls the partial passes it
    try:
        found = locate(node["_target_"], [*(config.get("trust") or ())], parent)
    except ConfigError:  # to be reported when the key is mended
        return ""
    parameters = signature(found)
    free = parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if free or name in (parameters or {}):
        return f" A new argument needs a plus: +{key}=..."
    near = did_you_mean(name, parameters or ())
    return "" if has_near else f" {found.__name__} takes no argument {name!r}.{near}"


def _wrong_type(override: str, cause: Any) -> str:
    """Returns what to say of a value that does not fit the one that it would replace."""
    name, _, given = override.partition("=")
    key = cause.full_key or name.lstrip("+~")
    kind = str(cause.object_type_str or "")
    first = str(cause).splitlines()[0]
    if "not Optional" in first:
        return f"{key} is null; it must have a value."
    if isinstance(cause, KeyValidationError):
        return f"{name.lstrip('+~')} is {given}; {of_key(cause)}"
    if "index out of range" in first:
        return f"{key} does not exist: the list is shorter."
    rule = MUST_BE.get(kind) or ("a mapping of keys to values" if "Dict" in first else "")
    if "Cannot merge" in first or "Cannot assign" in first:
        return f"{key} is {given}; it must be {rule or 'of another type'}."
    return f"{key} is {given}: {first}."


def _lines(error: BaseException) -> list[str]:
    said = masker.clean(str(error))  # before it is laid out anew
    return [line.strip() for line in said.splitlines() if line.strip()]


def _readable(overrides: Sequence[str]) -> list[Override]:
    """Returns the overrides that can be parsed."""
    found: list[Override] = []
    for text in overrides:
        try:
            found += OverridesParser.create().parse_overrides([text])
        except HydraException:  # a flag of the command line
            continue
    return found


def _is_value(override: Override) -> bool:
    """Returns whether an override sets a value, and does not choose an option of a group."""
    key = str(override.key_or_group)
    is_group = "." not in key and isinstance(override.value(), str) and not override.is_add()
    return not is_group


def _composed(chosen: Sequence[str]) -> Any:
    """Returns the config with the chosen options, or without them, as plain values."""
    for overrides in (chosen, ()):
        try:
            return OmegaConf.to_container(compose_config([*overrides]))
        except (HydraException, ConfigError, ValueError):
            continue
    return {}


def _at(config: Any, path: str) -> Any:
    """Returns what lies at a dotted path; None if there is nothing."""
    for part in path.split(".") if path else ():
        config = config.get(part) if isinstance(config, dict) else None
    return config


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
