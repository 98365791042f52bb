"""The parts of texts that are secrets: of URLs, and of commands.

These are passwords (`http://me:SECRET@host`), what stands in the place of a user and is no plain
name (`https://SECRET@host`), parameters (`https://host/?api_key=SECRET`), variables
(`export API_KEY=SECRET`), options (`run --token=SECRET`), and defaults (`${oc.env:TOKEN,SECRET}`).
"""

import re
from collections.abc import Callable
from urllib.parse import unquote

from runner.config.secret_names import (
    VARIABLE,
    is_secret_name,
    secret_variables,
    variables,
    with_defaults,
    without_references,
)
from runner.masking import LONGEST_WORD, MASK, is_ordinary

_REFERENCE = r"\$\{[^}@]{0,200}\}"
_NO_REFERENCE = r"\$(?!\{[^}@]{0,200}\})"  # so that there is one way to read each text
_VARIABLES = rf"(?:{VARIABLE.replace('(', '(?:', 1)})+"
# The last @ ends a password, unless it is all variables. A port before a path is none.
_AUTHORITY = re.compile(
    rf"(?<=://)(?!\[)(?P<user>(?:{_REFERENCE}|[^/?#@\s:$]|{_NO_REFERENCE})*)"
    rf"(?::(?!(?:\d{{1,5}}|{_REFERENCE})[/?#])"
    rf"(?P<password>{_VARIABLES}(?=@)|(?:{_REFERENCE}|(?!://)[^\s$]|{_NO_REFERENCE})+))?@"
)
_NAME = r"[\w.~%\[\]-]{1,100}="
_PARAMETER = re.compile(
    rf"(?<=[?&#;])(?P<name>{_NAME})"
    rf"(?P<value>(?:{_REFERENCE}|[^\s&#;\"'<>$]|;(?!{_NAME})|{_NO_REFERENCE})+)"
)
_OF_COMMAND = re.compile(
    r"(?<![\w/.?&#-])(?!KEYS?=)"  # which stands for any key
    r"(?P<name>(?:--?[A-Za-z][\w-]{0,99}|[A-Z][A-Z0-9_]{0,99})=)"
    rf"(?P<value>'[^']*'|\"[^\"]*\"|(?:{_REFERENCE}|[^\s&;|\"'<>$]|{_NO_REFERENCE})+)"
)
_OF_SHELL = re.compile(r"[\"']?\\?\$(\w+|\{\w+\})[\"']?")  # which takes it from its environment
_FEW_DIGITS = re.compile(r"(?<=[^\W\d_])\d{1,2}$")


def with_embedded(text: str, change: Callable[[str], str]) -> str:
    """Returns a text in which the parts that are secrets are changed."""

    def authority(found: re.Match[str]) -> str:
        user, password = found["user"], found["password"]
        if secret_variables(user) or not _is_name(without_references(user)):
            user = change(user)
        return f"{user}@" if password is None else f"{user}:{change(password)}@"

    def parameter(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        is_told = not is_secret_name(name) or _OF_SHELL.fullmatch(value)
        return found[0] if is_told else f"{name}{change(value)}"

    if "@" in text:
        text = _AUTHORITY.sub(authority, text)
    if "${" in text:
        text = with_defaults(text, change)
    if "=" in text:
        text = _OF_COMMAND.sub(parameter, _PARAMETER.sub(parameter, text))
    return text


def embedded_secrets(text: str) -> list[str]:
    """Returns the parts of a text that are secrets: as they are masked, as they are if their end is
    of the path or of the text, and as programs decode them."""
    found: dict[str, None] = {}

    def see(part: str) -> str:
        if part != MASK and not variables(part):
            spelled = [part, part.partition("@")[0], part.rstrip(").,;:]}!?"), part.strip("'\"")]
            found.update(dict.fromkeys([*spelled, *map(unquote, spelled)]))
        return part

    with_embedded(text, see)
    return [*filter(None, found)]


def has_masked_part(text: str) -> bool:
    """Returns whether a text has a mask in the place of such a part."""
    parts: list[str] = []

    def see(part: str) -> str:
        parts.append(part)
        return part

    with_embedded(text, see)
    return MASK in parts


def _is_name(user: str) -> bool:
    """Returns whether a user is a plain name, such as `bob`, `app_user` or `user2`, no token."""
    words = [_FEW_DIGITS.sub("", word) for word in re.split(r"[._-]", user) if word]
    are_plain = all(word.isalpha() and is_ordinary(word) for word in words)
    return are_plain and len(user) <= LONGEST_WORD
