"""What of a config is a secret, by the names of its keys, and what is shown and saved in its place.

A text below a key such as `api_key` is a secret, and so is the password of a URL. Numbers are none.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from runner.masking import MASK

ENDINGS = ("token", "secret", "password", "passwd", "key")  # of a word of a name, also in plural
# Keys of ours that are no secrets, and keys below which labels of choices are the keys.
OURS = ("fidelity.key",)
LABELLED = ("strategy.first", "task.sample", "search", "prior")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of hf_token, api-key, accessToken, APIKey
_VARIABLE = r"\$\{oc\.env:\s*([A-Za-z_]\w*)\s*\}"
# What is saved as it is: variables of the environment, behind a word such as "Bearer" if need be.
_OF_ENVIRONMENT = re.compile(rf"([A-Za-z]+ )?({_VARIABLE})+")
_REFERENCE = re.compile(r"\$\{[\w.\[\]]+\}")
# The last @ ends a password, unless it is all variables. A port before a path is none.
_PASSWORD = re.compile(
    r"(?<=://)([^/?#@\s:]*):(?!(?:\d{1,5}|\$\{[^}@]{0,200}\})[/?#])"
    rf"((?:{_VARIABLE.replace('(', '(?:', 1)})+(?=@)|"
    r"(?:\$\{[^}@]{0,200}\}|(?!://)[^\s$]|\$(?!\{[^}@]{0,200}\}))+)@"  # one way to read each text
)
_KEY = re.compile(r"[\w.-]{1,100}")
_HINT = re.compile(r"token|secret|passw|key|://", re.IGNORECASE)
TextChange = Callable[[str, str, bool], str]  # of a key, its text, and whether it is a secret


def is_secret_name(name: str) -> bool:
    """Returns whether a key of this name holds a secret: if one of its words ends like the word
    token, secret, password, passwd or key. `tokenizer` and `keypoints` only begin so."""
    words = (word.lower().removesuffix("s") for word in _WORD.findall(name))
    return any(word.endswith(ENDINGS) for word in words)


def texts(config: Any) -> Iterator[tuple[str, str, bool]]:
    """Yields the texts of a plain config that are not empty: key, text, and whether it is a secret
    by the name of the key. Nodes that describe an object have names of their own."""
    found: list[tuple[str, str, bool]] = []

    def see(key: str, text: str, is_secret: bool) -> str:
        found.append((key, text, is_secret))
        return text

    changed(config, see)
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


def variables(text: str) -> list[str]:
    """Returns the variables of the environment that a text consists of; none if it has other parts
    than these."""
    return re.findall(_VARIABLE, text) if _OF_ENVIRONMENT.fullmatch(text) else []


def is_from_environment(text: str, *, is_secret: bool) -> bool:
    """Returns whether a text, as it is written in a config, takes a secret from the environment: by
    the name of its key or of the variable, or as the password of a URL."""
    names = variables(text)
    is_password = "${" in text and "${" not in _PASSWORD.sub(_without_variables, text)
    return is_password or (bool(names) and (is_secret or any(map(is_secret_name, names))))


def environment_keys(config: Any) -> list[str]:
    """Returns the keys of a plain config, as it is written, that take secrets from the environment:
    also those that name a variable from which another key takes one."""
    names = {*environment_names(config)}
    return [
        key
        for key, text, is_secret in texts(config)
        if is_from_environment(text, is_secret=is_secret) or names & {*variables(text)}
    ]


def environment_names(config: Any) -> list[str]:
    """Returns the variables from which a plain config, as it is written, takes secrets."""
    return [
        name
        for _, text, is_secret in texts(config)
        if is_from_environment(text, is_secret=is_secret)
        for name in re.findall(_VARIABLE, text)
    ]


def without_variables(text: str, names: Collection[str]) -> str:
    """Returns a text, as it is written, in which variables of the environment are masked."""
    return re.sub(_VARIABLE, lambda found: MASK if found[1] in names else found[0], text)


def _without_variables(url: re.Match[str]) -> str:
    return f"{url[1]}:@" if variables(url[2]) else url[0]


def passwords(text: str) -> list[str]:
    """Returns the passwords of the URLs in a text: as they are masked, and as they are if another @
    belongs to the path."""
    found = [one[2] for one in _PASSWORD.finditer(text) if not variables(one[2])]
    return [*dict.fromkeys(part for one in found for part in (one, one.partition("@")[0]) if part)]


def masked(text: str, *, is_secret: bool) -> str:
    """Returns a text with its secrets masked: all of it, or the passwords of URLs."""
    if is_secret:
        return MASK
    return _PASSWORD.sub(lambda f: f[0] if variables(f[2]) else f"{f[1]}:{MASK}@", text)


def masked_as_written(text: str, *, is_secret: bool) -> str:
    """Returns a text of a config that is not resolved with its secrets masked. References to other
    keys and to variables of the environment tell none."""
    is_told = bool(variables(text)) or _REFERENCE.fullmatch(text) is not None
    return masked(text, is_secret=is_secret and not is_told)


def masked_config(config: Any, saved: Mapping[str, str]) -> Any:
    """Returns a resolved config as it is saved: with `saved` texts at their keys, and other secrets
    masked."""

    def change(key: str, text: str, is_secret: bool) -> str:
        return saved.get(key) or masked(text, is_secret=is_secret)

    return changed(config, change)


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
    key = key_of(override)
    value = _value(override)
    found: list[str] = []

    def see(where: str, text: str, is_secret: bool) -> str:
        if f":{MASK}@" in text or ((is_secret or anywhere) and is_masked(text)):
            found.append(text)
        return text

    _changed(value, see, key, is_secret_key(key))
    return bool(found)


def masked_override(override: str, clean: Callable[[str], str] = str) -> str:
    """Returns an override with its secrets masked, and other texts of it as they are `clean`. Also
    of one that cannot be read, or that sweeps, nothing is shown of a secret."""
    return _told(override, clean)[0]


def secrets_of_override(override: str) -> list[str]:
    """Returns the secrets that an override has."""
    return _told(override, str)[1]


def sweeps_secrets(override: Override) -> bool:
    """Returns whether an override sweeps over secrets that it has, and not over numbers, or the
    names of variables of the environment."""
    if not override.is_sweep_override() or not is_secret_key(str(override.key_or_group)):
        return False
    if override.is_interval_sweep() or override.is_range_sweep():
        return False
    values = override.sweep_iterator()
    return any(isinstance(value, str) and not variables(value) for value in values)


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
        return _unread(override, sweeps_secrets(parsed), clean)
    found: list[str] = []
    is_shown = True

    def see(where: str, text: str, is_secret: bool) -> str:
        nonlocal is_shown
        new = masked_as_written(text, is_secret=is_secret)
        if new != text:
            found.extend(passwords(text) if new != MASK else [text])
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
        return f"{name}={MASK}", [value.strip("'\""), value]
    return clean(masked(override, is_secret=False)), passwords(override)
