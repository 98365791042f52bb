"""Composes with Hydra, and checks each composed config before Hydra acts on it.

The checks stand where every config is composed, also those of the members of a sweep.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any, final

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import KeyValidationError

from runner.config.allowlist import below, how_to_trust
from runner.config.hidden_secrets import (
    hidden_in,
    hide_secrets,
    learn_overrides,
    restored_overrides,
    shown_override,
)
from runner.config.hydra_folder import HydraFolder, hydra_folder
from runner.config.hydra_node import check_hydra_node
from runner.config.secrets import give_again, has_lost, key_of, swept_secrets
from runner.errors import ConfigError, few
from runner.masking import MASK
from runner.run_folder import check_links

SHOWN = 5  # keys in a message
MODE = "hydra.mode=RUN"  # what Hydra adds to the overrides of a run
PACKAGES = ("hydra", "hydra_plugins", "runner")  # that may hold files of a config


@final
class NamingRepository(ConfigRepository):
    """Hydra's files of a config, whose errors name the file."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        try:
            return super().load_config(config_path)
        except KeyValidationError as error:
            raise ConfigError(f"{self._file(config_path)}: {of_key(error)}") from error

    def _file(self, config_path: str) -> str:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        folder = "" if source is None else f" of {source.path}"
        return f"The config '{config_path}'{folder}"


@final
@dataclass(frozen=True)
class ComposedAhead:
    """A config that was composed to know Hydra's mode, and what it was composed of."""

    name: str | None
    overrides: tuple[str, ...]
    config: DictConfig

    def leads_to(self, name: str | None, overrides: Sequence[str]) -> bool:
        """Returns whether a config to be composed is this one, but for the mode of a run."""
        known = name == self.name and (*overrides[: len(self.overrides)],) == self.overrides
        return known and [*overrides[len(self.overrides) :]] in ([], [MODE])

    def of_run(self, overrides: Sequence[str]) -> DictConfig:
        """Returns the config with what Hydra may have added to its overrides."""
        if len(overrides) > len(self.overrides):
            self.config.hydra.mode = RunMode.RUN
            self.config.hydra.overrides.hydra.append(MODE)
        return self.config


@final
class GuardedConfigLoader(ConfigLoaderImpl):
    """Hydra's loader of configs, which refuses those that name code that is not trusted."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = NamingRepository(config_search_path)
        self._sweeps = False  # True from the first member on
        self._ahead: ComposedAhead | None = None  # of the run that follows
        self._given: dict[str, str] = {}  # key -> override with a secret, of the sweep

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        config = self._checked(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )
        if validate_sweep_overrides:  # else Hydra only asks for its mode
            hide_secrets(config, overrides)
            if run_mode == RunMode.MULTIRUN:
                self._given = {**hidden_in(config).overrides}
        return config

    def _checked(
        self, name: str | None, overrides: list[str], mode: RunMode, from_shell: bool, sure: bool
    ) -> DictConfig:
        """Returns the composed config, checked, with its secrets."""
        learn_overrides(overrides)
        if lost := [key_of(one) for one in overrides if has_lost(one)]:
            raise ConfigError(f"{few(lost, SHOWN)} is {MASK}, {give_again(lost)}")
        try:
            config = self._composed(name, overrides, mode, from_shell, sure)
        except KeyError as error:
            raise _no_variable(error) or error from None
        except (AttributeError, AssertionError) as error:  # there is nothing to put it into
            if not any(key_of(one).startswith("hydra.sweeper.params") for one in overrides):
                raise
            raise ConfigError(
                "hydra.sweeper.params is for files of the config that sweep; here, write what is "
                "swept behind -m, as in: -m seed=0,1"
            ) from error
        trust = given_trust(overrides)
        _check_trust(config, trust)
        said: Any = OmegaConf.to_container(config.hydra.overrides)  # not interpolated
        if sorted([*said["hydra"], *said["task"]]) != sorted(overrides):
            raise ConfigError("hydra.overrides is set by Hydra; a file of the config may not.")
        check_hydra_node(config.hydra, trust, overrides)
        if not sure:  # Hydra asks for its mode, and takes an error for a run
            return config
        if mode == RunMode.MULTIRUN:
            self._check_sweep([*_params(config), *overrides])
            check_links(Path(config.hydra.sweep.dir))  # Hydra writes there, through links as well
        if from_shell:
            self._note_folder(config, mode)
        return config

    def _composed(
        self, name: str | None, overrides: list[str], mode: RunMode, from_shell: bool, sure: bool
    ) -> DictConfig:
        """Returns the composed config. To know its mode, Hydra has one composed that is not `sure`;
        the run that follows takes the same, since composing takes as long as all else does."""
        ahead, self._ahead = self._ahead, None
        if not sure:
            with suppress(Exception):  # such as for a group without an option, to sweep over
                found = super().load_configuration(name, overrides, RunMode.RUN, from_shell, False)
                self._ahead = ComposedAhead(name, (*overrides,), found)
                return found
        elif ahead is not None and mode == RunMode.RUN and ahead.leads_to(name, overrides):
            parsed = OverridesParser.create().parse_overrides(overrides)
            self.validate_sweep_overrides_legal(parsed, mode, from_shell)
            return ahead.of_run(overrides)
        return super().load_configuration(name, overrides, mode, from_shell, sure)

    def _note_folder(self, config: DictConfig, run_mode: RunMode) -> None:
        """Remembers the folder where Hydra is going to write: of a sweep, not of its members."""
        if run_mode == RunMode.MULTIRUN:
            hydra_folder.set(HydraFolder(Path(config.hydra.sweep.dir)))
        elif not self._sweeps:
            hydra_folder.set(HydraFolder(Path(config.hydra.run.dir)))

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        config = super()._compose_config_from_defaults_list(defaults, repo)
        if OmegaConf.is_interpolation(config, "hydra") or config.hydra is None:
            raise ConfigError(
                "hydra is null, or refers to another node; it must be a mapping of keys to values."
            )
        return config

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Composes the config of a member of a sweep, which trusts what the user does."""
        self._sweeps = True
        said: Any = OmegaConf.to_container(master_config.hydra.overrides)  # not interpolated
        if given_trust(sweep_overrides) != given_trust(said["task"]):
            raise ConfigError("trust may not be swept, neither by a file of the config.")
        given = restored_overrides([*said["hydra"], *sweep_overrides], self._given)
        name = master_config.hydra.job.config_name
        config = self._checked(name, given, RunMode.RUN, from_shell=True, sure=True)
        OmegaConf.copy_cache(from_config=master_config, to_config=config)  # as Hydra does: one time
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = master_config.hydra.sweep.dir
        hide_secrets(config, given)
        return config

    def _check_sweep(self, overrides: Sequence[str]) -> None:
        """Raises ConfigError for a sweep over nothing, or over what may not be saved."""
        parsed = OverridesParser.create().parse_overrides([*overrides])
        for override in {each.key_or_group: each for each in parsed}.values():  # the last counts
            for key in swept_secrets(override).values():
                raise ConfigError(
                    f"{key} is a secret by its name, and a sweep would show and save its values; "
                    "sweep over variables of the environment, as in "
                    f"\"{key}='${{oc.env:A}}','${{oc.env:B}}'\"."
                )
            if not override.is_sweep_override() or override.is_interval_sweep():
                continue
            told = str(override.input_line)
            if (hidden := shown_override(told)) != told:
                raise ConfigError(
                    f"{hidden} has a secret of this config in it, and a sweep would show and save "
                    "its values; refer to it, as in \"KEY='a ${data.token}',b\"."
                )
            key, value = str(override.key_or_group), override.value()
            if isinstance(value, Glob):
                found = value.filter(self.get_group_options(key))
            else:
                found = [*override.sweep_iterator()]
            if not found:
                raise ConfigError(f"{override.input_line} sweeps over nothing; give {key} a value.")

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: Any
    ) -> None:
        """Checks the search path before a package on it is imported."""
        loaded = None if config_name is None else repo.load_config(config_path=config_name)
        paths = [] if loaded is None else [OmegaConf.select(loaded.config, "hydra.searchpath")]
        paths += [o.value() for o in parsed_overrides if o.key_or_group == "hydra.searchpath"]
        trust = _trusted(parsed_overrides)
        for path in paths:
            for entry in path if isinstance(path, list | ListConfig) else ():
                _check_search_path(str(entry), trust)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


def _params(config: DictConfig) -> list[str]:
    """Returns the overrides that the basic sweeper takes from the config."""
    sweeper: Any = OmegaConf.to_container(config.hydra.sweeper)
    params = sweeper.get("params")
    return [f"{key}={value}" for key, value in params.items()] if isinstance(params, dict) else []


def swept_keys(config: DictConfig) -> list[str]:
    """Returns the keys in which the members of a sweep differ."""
    said: Any = OmegaConf.to_container(config.hydra.overrides)
    texts = [*_params(config), *said["hydra"], *said["task"]]
    parsed = OverridesParser.create().parse_overrides(texts)
    return [str(one.key_or_group) for one in parsed if one.is_sweep_override()]


def of_key(error: KeyValidationError) -> str:
    """Returns what to say of a mapping with a key that is none, such as null."""
    kind = str(error).partition("'")[2].partition("'")[0]
    what = "null" if kind == "NoneType" else f"of type {kind}"
    where = f" in {error.full_key}" if error.full_key else ""
    return f"a key{where} is {what}; it must be a text."


def _no_variable(error: KeyError) -> ConfigError | None:
    """Returns what to say of a variable of the environment that is to be copied; None for other
    errors."""
    if extract_tb(error.__traceback__)[-1].filename not in (os.__file__, "<frozen os>"):
        return None
    return ConfigError(
        f"hydra.job.env_copy names {error.args[0]!r}, which is not set in the environment; set it "
        "in the shell."
    )


@contextmanager
def guarded() -> Iterator[None]:
    """Makes Hydra compose with `GuardedConfigLoader` within the block."""
    module: Any = hydra._internal.hydra
    before = module.ConfigLoaderImpl
    module.ConfigLoaderImpl = GuardedConfigLoader
    try:
        yield
    finally:
        module.ConfigLoaderImpl = before


def given_trust(overrides: Sequence[str]) -> list[Any]:
    """Returns what the overrides trust; the last one counts."""
    return _trusted(OverridesParser.create().parse_overrides([*overrides]))


def _trusted(overrides: Sequence[Override]) -> list[Any]:
    for override in reversed(overrides):
        if override.key_or_group == "trust" and not override.is_sweep_override():
            value = override.value()
            return value if isinstance(value, list) else []
    return []


def _check_trust(config: DictConfig, given: Sequence[Any]) -> None:
    """Raises ConfigError if a file of a config trusts something: only the user may, and now."""
    written = OmegaConf.to_container(config).get("trust")  # type: ignore[union-attr]
    if isinstance(written, str) and "${" in written:
        raise ConfigError(f"trust is {written!r}; it must be a list of import paths.")
    if isinstance(written, list) and written not in ([], given):
        shown = ", ".join(map(str, written))
        raise ConfigError(
            f"A file of the config sets trust to [{shown}], which only an override may. If you "
            f"trust it, add trust=[{shown}]."
        )
    if any("${" in str(entry) for entry in given):
        raise ConfigError("trust contains an interpolation; it must be a list of import paths.")


def _check_search_path(path: str, trust: Sequence[Any]) -> None:
    scheme, _, package = path.rpartition("://")
    package = package.replace("/", ".")
    if scheme not in ("", "file", "pkg"):
        raise ConfigError(f"hydra.searchpath contains {path!r}; it may be a folder or pkg://NAME.")
    if scheme == "pkg" and not below(package, (*PACKAGES, *trust)):
        raise ConfigError(
            f"hydra.searchpath contains {path!r}, which imports that package. "
            f"{how_to_trust(package, trust)}"
        )
