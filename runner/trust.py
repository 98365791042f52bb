"""What a record may run: a run folder brings no trust with it, unless this user made it.

Packages that a record trusted are trusted again if this user's key signed that, or if the user
says so now.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

from omegaconf import OmegaConf
from pydantic import ValidationError

from runner.config.allowlist import check_targets
from runner.config.older import updated
from runner.config.saved_secrets import WrittenConfig
from runner.config.secrets import (
    changed,
    give_again,
    is_masked,
    missing,
)
from runner.config.settings import Settings, settings_from
from runner.errors import ConfigError, RunFailed, few
from runner.masking import MASK
from runner.resume import literal
from runner.store import RECORD, Record

SHOWN = 5  # packages in a message
LONG = 60  # characters of one


@final
@dataclass(frozen=True)
class RecordedConfig:
    """The config of a record, with the trust that it has here."""

    folder: Path
    settings: Settings  # as recorded, but `trust` is what is trusted here
    distrusted: Sequence[str]  # packages that the record trusted, and nobody here does
    why: str  # the record is not this user's own; empty if it is

    @classmethod
    def of(
        cls,
        record: Record,
        folder: Path,
        trust: Sequence[str] = (),
        secrets: Mapping[str, str] = MappingProxyType({}),
    ) -> "RecordedConfig":
        """Returns the config of a record, when these packages are trusted now; `secrets` are values
        that are not saved, by their keys. Imports nothing. Raises RunFailed if it is no config of
        this runner."""
        recorded = _validated(record.config, folder)
        why = record.doubt
        if secrets:
            recorded = _with_secrets(recorded, secrets)
        base = [] if why else recorded.trust
        trusted = [*dict.fromkeys([*base, *trust])]
        distrusted = [name for name in recorded.trust if name not in trusted]
        settings = recorded.model_copy(update={"trust": trusted})
        return cls(folder, settings, distrusted, why)

    def checked(self) -> Settings:
        """Returns the settings, if all that they name may run here. Raises ConfigError, with the
        way to trust it."""
        self.check_trust(self.settings.model_dump(), self.settings.trust)
        self.check_secrets(self.plain())
        try:
            return settings_from(OmegaConf.create(self.plain()), [])
        except ConfigError as error:
            text = f"The config in {self.folder / RECORD} cannot be used: {error}"
            raise ConfigError(text) from error

    def plain(self) -> dict[str, Any]:
        """Returns the settings as plain values in which nothing is an interpolation, but secrets
        that this user's own record takes from the environment; those of others are masked."""

        taken = WrittenConfig(self.settings.model_dump()).taken

        def written(key: str, text: str, is_secret: bool) -> str:
            if key not in taken:
                return literal(text)
            return MASK if self.why else text

        escaped: dict[str, Any] = changed(self.settings.model_dump(), written)
        return escaped

    def check_secrets(self, config: Mapping[str, Any]) -> None:
        """Raises ConfigError if a config based on this one lacks secrets, which are not saved."""
        config = {key: value for key, value in config.items() if key != "task"}
        if keys := missing(config):
            raise ConfigError(f"The run in {self.folder} needs {_listed(keys)}, {give_again(keys)}")

    def masked_keys(self) -> list[str]:
        """Returns the keys whose secrets are not saved, or taken from the environment."""
        taken = WrittenConfig(self.settings.model_dump()).taken
        return [*dict.fromkeys([*missing(self.plain()), *taken])]

    def check_trust(self, config: Mapping[str, Any], trust: Sequence[str]) -> None:
        """Raises ConfigError if a config needs a package that only a foreign record trusted."""
        distrusted = [name for name in self.distrusted if name not in trust]
        if not distrusted:
            return
        try:
            check_targets(dict(config), trust)
        except ConfigError as error:
            raise ConfigError(
                f"The run in {self.folder} was not made by this user ({self.why}), and needs more "
                f"than is trusted here: it trusted {_listed(distrusted)}. {_remedy(distrusted)}"
            ) from error

    def check_commands(self, config: Mapping[str, Any], overrides: Sequence[str]) -> None:
        """Raises ConfigError if a training service would run commands, or give options to commands,
        that only a foreign record asks for. Overrides are this user's own words."""
        training = config.get("training") or {}
        given = {override.lstrip("+").partition("=")[0] for override in overrides}
        for key in ("shell", "extra") if self.why else ():
            name = f"training.{key}"
            if training.get(key) and not any(name.startswith(word) for word in given):
                raise ConfigError(
                    f"The run in {self.folder} was not made by this user ({self.why}), and its "
                    f"{name} would be used in jobs of this user: {training[key]!r:.200}. Give "
                    f"{name} yourself, if only as {name}={'[]' if key == 'shell' else '{}'}."
                )


def _remedy(names: Sequence[str]) -> str:
    good = [name for name in names if all(part.isidentifier() for part in name.split("."))]
    if not good:
        return "These are no names of packages."
    override = shlex.quote(f"trust=[{','.join(good)}]")
    return (
        f"If you trust that, say so: {override} on the command line, or runner.load(..., "
        f"trust={good!r}) in Python."
    )


def _listed(names: Sequence[str]) -> str:
    return few([(name if name.isprintable() else repr(name))[:LONG] for name in names], SHOWN)


def _validated(config: Mapping[str, Any], folder: Path) -> Settings:
    try:
        return Settings.model_validate(updated(config))
    except ValidationError as error:
        problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])[:60]
    if problem["type"] in ("extra_forbidden", "missing"):
        what = "no" if problem["type"] == "missing" else "the unknown key"
        raise RunFailed(
            f"{folder / RECORD} was written by another version of runner: its config has {what} "
            f"{where!r}. Continue with the runner that wrote it."
        )
    raise RunFailed(
        f"{folder / RECORD} is not a record of this runner: in its config, {where or 'a value'} is "
        f"{problem['input']!r:.60}: {problem['msg']}. Nothing was changed."
    )


def _with_secrets(recorded: Settings, secrets: Mapping[str, str]) -> Settings:
    """Returns settings with the secrets that they were recorded without."""

    taken = WrittenConfig(recorded.model_dump()).taken

    def given(key: str, text: str, is_secret: bool) -> str:
        is_gone = is_masked(text) or key in taken
        return secrets.get(key, text) if is_gone else text

    return Settings.model_validate(changed(recorded.model_dump(), given))
