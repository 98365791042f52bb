"""The secrets of configs and of source, and how they are kept out of what is shown and written.

Composed configs hold masks in their place from the first moment on, since Hydra saves them;
`restored` gives the secrets back to whoever needs them.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from omegaconf import Container, DictConfig, ListConfig, OmegaConf, read_write

from runner.config.secrets import (
    changed,
    is_from_environment,
    masked_as_written,
    masked_override,
    passwords,
    secrets_of_override,
    texts,
    variables,
)
from runner.masking import MASK, is_ordinary, masker

FLAG = "runner-secrets-"  # of a config, with a number; copies have it, too
ENVIRONMENT = "hydra.job.env_set."  # variables, which have these values in our environment


@final
@dataclass(frozen=True)
class HiddenSecrets:
    """What was hidden in a config."""

    written: Mapping[str, str]  # key -> text, before
    overrides: Mapping[str, str]  # as they are shown -> as they were given


@final
class KnownSecrets:
    """Secrets, and where the configs composed so far had them."""

    def __init__(self) -> None:
        self._hidden: list[HiddenSecrets] = []  # by the numbers that flags of configs have

    def note_arguments(self, arguments: Sequence[str]) -> None:
        """Remembers the secrets of a command line, before anything is said of it."""
        masker.learn(secret for one in arguments for secret in secrets_of_override(one))

    def masked_override(self, override: str) -> str:
        """Returns an override with its secrets masked, and what other texts have of known ones."""
        return masked_override(override, _cleaned)

    def hide(self, config: DictConfig, overrides: Sequence[str]) -> None:
        """Masks the secrets of a config in place, and those of the overrides that it was composed
        from. Remembers them for this config and its copies."""
        plain = OmegaConf.to_container(config)
        self.note_arguments(overrides)
        masker.learn(_secrets_of(plain))  # first: other texts may have them
        shown = {one: self.masked_override(one) for one in overrides}
        found: dict[str, str] = {}
        written: dict[str, str] = {}

        def change(key: str, text: str, is_secret: bool) -> str:
            if key.startswith(ENVIRONMENT) and is_secret:  # Hydra sets it before a run
                new = f"${{oc.env:{key.removeprefix(ENVIRONMENT)}}}"
            elif key.startswith("hydra.overrides."):
                new = shown.get(text, self.masked_override(text))
            elif key == "hydra.job.override_dirname":
                new = _replaced(text, shown)
            else:
                new = masked_as_written(text, is_secret=is_secret)
                if not key.startswith("hydra."):
                    new = _cleaned(new)
                if new != text:
                    written[key] = text
            if new != text:
                found[key] = new
            return new

        changed(plain, change)
        _put(config, found)
        if written:
            config._set_flag(f"{FLAG}{len(self._hidden)}", True)
            given = {new: one for one, new in shown.items()}
            self._hidden.append(HiddenSecrets(written, given))

    def restored(
        self, config: DictConfig, overrides: Sequence[str]
    ) -> tuple[DictConfig, list[str]]:
        """Returns a config, and its overrides, with the secrets that were hidden in it."""
        flags = [name for name in config._metadata.flags or () if name.startswith(FLAG)]
        if not flags:
            return config, [*overrides]
        hidden = self._hidden[int(flags[-1].removeprefix(FLAG))]
        found = config.copy()
        _put(found, hidden.written)
        return found, [hidden.overrides.get(one, one) for one in overrides]


def _secrets_of(config: Any) -> Iterator[str]:
    """Yields the secrets of a plain config, as it is written."""
    for _, text, is_secret in texts(config):
        if is_from_environment(text, is_secret=is_secret):
            yield from (os.environ.get(name, "") for name in variables(text))
        if (new := masked_as_written(text, is_secret=is_secret)) != text:
            yield from passwords(text) if new != MASK else [text]


def _cleaned(text: str) -> str:
    """Returns a text without known secrets. An ordinary word by itself is none."""
    return text if is_ordinary(text) else masker.clean(text)


def _replaced(text: str, shown: dict[str, str]) -> str:
    for one, new in shown.items():
        text = text.replace(one.lstrip("+"), new.lstrip("+"))
    return text


def _put(config: DictConfig, found: Mapping[str, str]) -> None:
    """Sets texts at keys of a config, which may be read-only, without resolving anything."""
    if not found:
        return

    def visit(node: Container, where: str) -> None:
        with read_write(node):
            for key, inner in _children(node, where):
                child: Any = node._get_node(key)
                if isinstance(child, Container):
                    if not (child._is_none() or child._is_missing() or child._is_interpolation()):
                        visit(child, inner)
                elif inner in found:
                    child._set_value(found[inner])

    visit(config, "")


def _children(node: Container, where: str) -> list[tuple[Any, str]]:
    if isinstance(node, ListConfig):
        return [(i, f"{where}[{i}]") for i in range(len(node))]
    assert isinstance(node, DictConfig)
    return [(key, f"{where}.{key!s}" if where else str(key)) for key in [*node.keys()]]


vault = KnownSecrets()
