"""What is saved in place of the texts of a config that the names of their keys do not tell to be
secrets: those that take one from the environment, refer to one, or have it typed again."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from omegaconf import OmegaConf

from runner.config.secret_names import (
    all_variables,
    secret_variables,
    variables,
    with_variables,
)
from runner.config.secrets import (
    changed,
    is_from_environment,
    is_masked,
    masked,
    secrets_in,
    texts,
)
from runner.errors import ConfigError
from runner.masking import MASK, is_ordinary, without

_OF_OBJECT = re.compile(r"(.*\.)?_\w+_")  # such as _target_, which names code


@final
class WrittenConfig:
    """A plain config as it is written, not resolved, and what it takes from the environment."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._texts: dict[str, str] = {}
        direct: set[str] = set()  # the keys that take secrets
        self._names: set[str] = set()  # the variables that are secrets
        for key, text, is_secret in texts(config):
            self._texts[key] = text
            if "${" not in text:
                continue
            self._names |= {*secret_variables(text)}
            if is_from_environment(text, is_secret=is_secret):
                direct.add(key)
                self._names |= {*all_variables(text)}
        self.taken = {
            key: text
            for key, text in self._texts.items()
            if key in direct or self._names & {*variables(text)}
        }  # key -> text of those to be saved as they are written

    def check_variables(self) -> None:
        """Raises ConfigError for a secret in a variable of the environment that is not there."""
        for key, text in self.taken.items():
            if gone := [name for name in variables(text) if name not in os.environ]:
                raise ConfigError(
                    f"{key} is {text!r}, but {gone[0]} is not set in the environment; set it, or "
                    f"give {key} another value."
                )

    def without_secrets(self, prepared: Callable[[Any], Any]) -> dict[str, str]:
        """Returns the texts, by their keys, of the config that is resolved with masks in place of
        its secrets, and prepared; none if that cannot be done with masks."""

        def hide(key: str, text: str, is_secret: bool) -> str:
            return masked(with_variables(text, self._shown), is_secret=is_secret)

        hidden = OmegaConf.create(changed(self._config, hide))
        try:
            plain = prepared(OmegaConf.to_container(hidden, resolve=True))
        except Exception:  # a resolver of the user's raises anything
            return {}
        return {key: text for key, text, _ in texts(plain)}

    def _shown(self, name: str, written: str) -> str:
        return MASK if name in self._names else written

    def may_refer(self, key: str) -> bool:
        """Returns whether the text of a key has, or may have, interpolations."""
        return "${" in self._texts.get(key, "${")

    @property
    def values(self) -> list[str]:
        """The secrets that the environment has."""
        return [os.environ.get(name, "") for name in self._names]


def saved_texts(
    written: WrittenConfig,
    resolved: Sequence[tuple[str, str, bool]],
    prepared: Callable[[Any], Any],
) -> dict[str, str]:
    """Returns what is saved in place of texts of a resolved config, by their keys. `prepared` does
    to a plain config what was done to the resolved one."""
    secrets = written.values
    for _, text, is_secret in resolved:
        secrets += secrets_in(text, is_secret=is_secret)
    if not secrets:
        return {}
    clean = without(one for one in secrets if not is_ordinary(one))
    others = written.without_secrets(prepared)
    found = {**written.taken}
    for key, text, is_secret in resolved:
        if is_secret or key in found:
            continue
        shown = others.get(key, MASK) if written.may_refer(key) else text
        shown = shown if _OF_OBJECT.fullmatch(key) else clean(shown)
        if shown != text:
            found[key] = shown
    return found


def secrets_of(hidden: Mapping[str, str], saved: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the secrets in texts that are hidden, by their keys, for some of which others are
    `saved`. A text that is saved with masks is one as a whole if the others do not tell its own."""
    found: list[str] = []
    parts: dict[str, str] = {}
    for key, text in hidden.items():
        if is_masked(shown := saved.get(key, MASK)) and shown != MASK:
            parts[key] = text
        else:
            found += _own_secrets(text)
    clean = without(found)
    for key, text in parts.items():
        if clean(text) != saved[key]:
            found += _own_secrets(text)
    return (*dict.fromkeys(found),)


def _own_secrets(text: str) -> list[str]:
    return secrets_in(text, is_secret=masked(text, is_secret=False) == text)
