"""Names that tell a secret: of keys, variables of the environment, parameters and options."""

import os
import re
from collections.abc import Callable

ENDINGS = ("token", "secret", "password", "passwd", "key")  # of a word of a name, also in plural
VARIABLE = r"\$\{oc\.env:\s*([A-Za-z_]\w*)\s*\}"
NO_DEFAULTS = ("null", '""', "''")  # which tell that there is none
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of hf_token, api-key, accessToken, APIKey
# What is saved as it is: variables of the environment, behind a word such as "Bearer" if need be.
_OF_ENVIRONMENT = re.compile(rf"([A-Za-z]+ )?({VARIABLE})+")
_REFERENCE = re.compile(r"\$\{[\w.\[\]]+\}")
# All that takes a variable: also in quotes, and with a default.
_TAKEN = re.compile(r"""\$\{\s*oc\.env\s*:\s*['"]?([A-Za-z_]\w*)['"]?\s*(?:,([^{}]*))?\}""")


def is_secret_name(name: str) -> bool:
    """Returns whether a key of this name holds a secret: if one of its words ends like the word
    token, secret, password, passwd or key. `tokenizer` and `keypoints` only begin so."""
    words = (word.lower().removesuffix("s") for word in _WORD.findall(name))
    return any(word.endswith(ENDINGS) for word in words)


def variables(text: str) -> list[str]:
    """Returns the variables of the environment that a text consists of; none if it has other parts
    than these."""
    return re.findall(VARIABLE, text) if _OF_ENVIRONMENT.fullmatch(text) else []


def secret_variables(text: str) -> list[str]:
    """Returns the variables of the environment in a text that are secrets by their own names."""
    return [name for name in all_variables(text) if is_secret_name(name)]


def all_variables(text: str) -> list[str]:
    """Returns the variables of the environment in a text, whatever else it has."""
    return [found[1] for found in _TAKEN.finditer(text)]


def with_defaults(text: str, change: Callable[[str], str]) -> str:
    """Returns a text in which the defaults of variables that are secrets are changed."""

    def changed(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if not is_secret_name(name) or not default or default.strip() in NO_DEFAULTS:
            return found[0]
        start, end = (place - found.start() for place in found.span(2))
        return f"{found[0][:start]}{change(default)}{found[0][end:]}"

    return _TAKEN.sub(changed, text)


def is_reference(text: str) -> bool:
    """Returns whether a text is a reference to another key of the config, and nothing else."""
    return _REFERENCE.fullmatch(text) is not None


def with_variables(text: str, value: Callable[[str, str], str]) -> str:
    """Returns a text with values in place of what takes variables of the environment: `value` is
    called with the name of each, and how it is written."""
    return _TAKEN.sub(lambda found: value(found[1], found[0]), text)


def from_environment(text: str) -> str:
    """Returns a text with the values of variables of the environment, or else their defaults."""
    return _TAKEN.sub(lambda found: os.environ.get(found[1], found[2] or ""), text)


def without_references(text: str) -> str:
    """Returns a text without its references to other keys and to variables of the environment."""
    return _REFERENCE.sub("", re.sub(VARIABLE, "", text))
