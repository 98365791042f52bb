"""What of a config is a secret, by the names of its keys, and what is shown and saved in its place.

A text below a key such as `api_key` is a secret, and so are parts of URLs and commands, see
`embedded_secrets.py`. Numbers are none.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from hydra.errors import HydraException

from runner.config.embedded_secrets import embedded_secrets, has_masked_part, with_embedded
from runner.config.secret_names import (
    from_environment,
    is_reference,
    is_secret_name,
    secret_variables,
    variables,
)
from runner.masking import MASK, is_ordinary

# Keys of ours that are no secrets, and keys below which labels of choices are the keys.
OURS = ("fidelity.key",)
LABELLED = ("strategy.first", "task.sample", "search", "prior")
_CREDENTIAL = re.compile(r"[A-Za-z]+ (\S{8,})")
_KEY = re.compile(r"[\w.-]{1,100}")
_HINT = re.compile(r"token|secret|passw|key|://", re.IGNORECASE)
MISSING = "???"  # in OmegaConf
TextChange = Callable[[str, str, bool], str]  # of a key, its text, and whether it is a secret


def texts(config: Any) -> Iterator[tuple[str, str, bool]]:
    """Yields the texts of a plain config that are not empty: key, text, and whether it is a secret
    by the name of the key. Nodes that describe an object have names of their own."""
    return texts_at("", config)


def texts_at(key: str, value: Any) -> Iterator[tuple[str, str, bool]]:
    """Yields the texts of a plain value of a dotted key, as `texts` does."""
    found: list[tuple[str, str, bool]] = []

    def see(where: str, text: str, is_secret: bool) -> str:
        found.append((where, text, is_secret))
        return text

    _changed(value, see, key, is_secret_key(key))
    yield from found


def changed(config: Any, change: TextChange) -> Any:
    """Returns a copy of a plain config in which the texts that are not empty are changed."""
    return _changed(config, change, "", False)


def _changed(value: Any, change: TextChange, where: str, inside: bool) -> Any:
    match value:
        case Mapping():
            inside = inside and "_target_" not in value
            return {
                key: _changed(item, change, inner, _is_secret(inner, str(key), inside))
                for key, item in value.items()
                for inner in [f"{where}.{key}" if where else str(key)]
            }
        case list() | tuple():
            return [_changed(v, change, f"{where}[{i}]", inside) for i, v in enumerate(value)]
        case str() if value:
            return change(where, value, inside)
    return value


def _is_secret(where: str, name: str, inside: bool) -> bool:
    if where in OURS or _is_labelled(where) or re.fullmatch(r"_\w+_", name):
        return False
    return inside or is_secret_name(name)


def _is_labelled(where: str) -> bool:
    return any(where == key or where.startswith((f"{key}.", f"{key}[")) for key in LABELLED)


def is_from_environment(text: str, *, is_secret: bool) -> bool:
    """Returns whether a text, as it is written in a config, takes a secret from the environment: by
    the name of its key or of the variable, or as a part of the text."""
    names = variables(text)
    is_in_url = "${" in text and "${" not in with_embedded(text, _without_variables)
    return is_in_url or (bool(names) and (is_secret or any(map(is_secret_name, names))))


def _without_variables(part: str) -> str:
    return "" if variables(part) else part


def taken_secrets(text: str, *, is_secret: bool) -> list[str]:
    """Returns the secrets that a text, as it is written, takes from the environment."""
    names = variables(text) if is_secret else secret_variables(text)
    values = [os.environ.get(name, "") for name in names]
    return [*values, *embedded_secrets(from_environment(text))]


def masked(text: str, *, is_secret: bool) -> str:
    """Returns a text with its secrets masked: all of it, or parts."""
    return MASK if is_secret else with_embedded(text, lambda one: one if variables(one) else MASK)


def masked_as_written(text: str, *, is_secret: bool) -> str:
    """Returns a text of a config that is not resolved with its secrets masked. References to other
    keys and to variables of the environment tell none."""
    is_none = text == MISSING or bool(variables(text)) or is_reference(text)
    return masked(text, is_secret=is_secret and not is_none)


def secrets_in(text: str, *, is_secret: bool) -> list[str]:
    """Returns the secrets that a text has: all of it, and what is behind a word such as "Bearer",
    or parts."""
    if not is_secret:
        return embedded_secrets(text)
    behind = _CREDENTIAL.fullmatch(text)
    return [text] if behind is None or is_ordinary(behind[1]) else [text, behind[1]]


def masked_config(config: Any, saved: Mapping[str, str]) -> Any:
    """Returns a resolved config as it is saved: with `saved` texts at their keys, and other secrets
    masked."""
    return changed(config, lambda key, text, is_secret: saved_text(key, text, is_secret, saved))


def saved_text(key: str, text: str, is_secret: bool, saved: Mapping[str, str]) -> str:
    """Returns a text of a resolved config as it is saved."""
    return saved.get(key) or masked(text, is_secret=is_secret)


def is_masked(text: str) -> bool:
    """Returns whether a text has a masked secret."""
    return MASK in text


def missing(config: Any) -> list[str]:
    """Returns the keys of a plain config whose secrets are masked, so that they are not known."""
    return [key for key, text, _ in texts(config) if is_masked(text)]


def give_again(keys: list[str]) -> str:
    """Returns how the secrets of keys are given again, as the end of a sentence."""
    first, it = keys[0].partition("[")[0], "them" if len(keys) > 1 else "it"
    first = first if _KEY.fullmatch(first) else "KEY"  # of a record of somebody else
    return (
        f"which {'are secrets' if len(keys) > 1 else 'is a secret'} and not saved; give {it} "
        f"again, as in {first}=VALUE, or from the environment, as in '{first}=${{oc.env:NAME}}'."
    )


# Overrides


def key_of(override: str) -> str:
    """Returns the key of an override, without its prefix."""
    return override.partition("=")[0].lstrip("+~")


def is_secret_key(key: str) -> bool:
    """Returns whether a dotted key names a secret, or lies below one."""
    parts = key.split(".")
    inside, where = False, ""
    for part in parts:
        where = f"{where}.{part}" if where else part
        inside = _is_secret(where, part, inside)
    return inside


def has_lost(override: str, *, anywhere: bool = False) -> bool:
    """Returns whether an override has a mask in the place of a secret; `anywhere`: also where its
    key tells none, as in what was saved."""
    if not is_masked(override):
        return False
    return any(
        has_masked_part(text) or ((is_secret or anywhere) and is_masked(text))
        for _, text, is_secret in texts_at(key_of(override), _value(override))
    )


def masked_override(override: str, clean: Callable[[str], str] = str) -> str:
    """Returns an override with its secrets masked, and other texts of it as they are `clean`. Also
    of one that cannot be read, or that sweeps, nothing is shown of a secret."""
    return _told(override, clean)[0]


def secrets_of_override(override: str) -> list[str]:
    """Returns the secrets that an override has."""
    return _told(override, str)[1]


def swept_secrets(override: Override) -> dict[str, str]:
    """Returns the secrets that an override sweeps over, and their keys. Numbers are none, nor are
    names of variables of the environment."""
    found = _swept_texts(override)
    return {text: key for key, text, is_secret in found if is_secret and not variables(text)}


def _swept_texts(override: Override) -> Iterator[tuple[str, str, bool]]:
    """Yields the texts that an override sweeps over, and that are not found by a pattern."""
    if override.is_choice_sweep() and not isinstance(override._value, Glob):
        for value in override.sweep_iterator():
            yield from texts_at(str(override.key_or_group), _plain(value))


def _told(override: str, clean: Callable[[str], str]) -> tuple[str, list[str]]:
    if not _HINT.search(override) and clean(override) == override:
        return override, []
    key = key_of(override)
    own = is_secret_key(key)
    parsed = _parsed(override)
    if parsed is None:
        return _unread(override, own or _names_secrets(override), clean)
    if parsed.is_delete() or "=" not in override:
        return override, []
    if parsed.is_sweep_override():
        words, secrets = [text for _, text, _ in _swept_texts(parsed)], swept_secrets(parsed)
        is_shown = all(clean(masked(one, is_secret=False)) == one for one in words)
        if words and is_shown and not own and not secrets:
            return override, []  # also of an ordinary word, which is a secret elsewhere
        shown, parts = _unread(override, bool(secrets), clean)
        return shown, [*secrets, *parts]
    found: list[str] = []
    is_shown = True

    def see(where: str, text: str, is_secret: bool) -> str:
        nonlocal is_shown
        new = masked_as_written(text, is_secret=is_secret)
        if new != text:
            found.extend(secrets_in(text, is_secret=new == MASK))
        new = clean(new)
        is_shown = is_shown and new == text
        return new

    value = _changed(_plain(parsed._value), see, key, own)
    if is_shown:
        return override, []
    written = Override._get_value_element_as_str(value)
    return f"{parsed.get_key_element()}={written}", found


def _parsed(override: str) -> Override | None:
    """Returns a parsed override; None if it cannot be read."""
    try:
        [parsed] = OverridesParser.create().parse_overrides([override])
    except (HydraException, ValueError):
        return None
    return parsed


def _value(override: str) -> Any:
    """Returns the value of an override that does not sweep, and the text of others."""
    parsed = _parsed(override)
    if parsed is None or parsed.is_sweep_override():
        return override.partition("=")[2]
    return _plain(parsed._value)


def _plain(value: Any) -> Any:
    """Returns a value of Hydra's grammar without its marks of quotes."""
    match value:
        case QuotedString():
            return value.text
        case Mapping():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
    return value


def _names_secrets(override: str) -> bool:
    """Returns whether an override that cannot be read is a mapping that names a secret."""
    value = override.partition("=")[2]
    return any(map(is_secret_name, re.findall(r"([\w.-]+)['\"]?\s*:(?!//)", value)))


def _unread(override: str, is_secret: bool, clean: Callable[[str], str]) -> tuple[str, list[str]]:
    name, equals, value = override.partition("=")
    if is_secret and value and equals:
        plain = re.sub(r"\\(.)", r"\1", value.strip("'\""))
        return f"{name}={MASK}", [*dict.fromkeys([value.strip("'\""), value, plain])]
    return clean(masked(override, is_secret=False)), embedded_secrets(override)
