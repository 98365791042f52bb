"""The config of a run, typed and validated: plain settings from Hydra's composition. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    model_validator,
)

from runner.config.allowlist import KEYWORDS, below, check_targets
from runner.config.check_arguments import signature
from runner.config.data_sizes import missing_sizes
from runner.config.embedded_secrets import has_masked_part
from runner.config.forwarded_parameters import taken_parameters
from runner.config.mutator_entries import written_out
from runner.config.saved_secrets import WrittenConfig, saved_texts, secrets_of
from runner.config.secrets import (
    give_again,
    is_masked,
    masked,
    masked_config,
    saved_text,
    texts,
    texts_at,
)
from runner.config.targets import locate
from runner.errors import ConfigError, as_yaml, did_you_mean, few
from runner.masking import MASK, masker

GroupNode = dict[str, Any]
MUTATORS, INPUT, WEIGHTS = "mutators", "input", "weights"
INHERIT = "inherit"
STANDALONE = "standalone"  # source of exported models that imports only torch and libraries
BESIDE = (MUTATORS, INPUT, WEIGHTS)  # keys of a space that are not arguments of its model
SWEEP = "sweep"  # a key of the command line alone
FIRST = "first"  # the key of any strategy that is no argument of its own
KINDS = {  # in pydantic's words
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "list_type": "a list",
}
SHOWN = 5  # keys in a message
TAGS = ("one", "several")  # of an objective, in the places that pydantic names
Natural = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """A model that forbids unknown keys and converts nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CostSettings(Strict):
    """A budget of a metric that sums up over all trials, such as seconds of a GPU."""

    metric: str
    limit: Annotated[float, Field(gt=0)]


class BudgetSettings(Strict):
    """The budget of a run, which ends when one of these is used up."""

    trials: Annotated[int, Field(ge=1)]
    minutes: Annotated[float, Field(gt=0)] | None
    epochs: Annotated[int, Field(ge=1)] | None
    cost: CostSettings | None


class ObjectiveSettings(Strict):
    """One objective of the search."""

    metric: str
    mode: Literal["max", "min"]
    reference: float | None = None


class FidelitySettings(Strict):
    """The rungs of a multi-fidelity search; see `runner.fidelity.Fidelity`."""

    key: str
    min: int
    max: int
    eta: int


class ScreenSettings(Strict):
    """The pre-screen: of how many samples a zero-cost proxy chooses each trial."""

    proxy: str
    candidates: Annotated[int, Field(ge=2)] = 8
    batch_size: Annotated[int, Field(ge=1)] = 64


class ExportSettings(Strict):
    """The models and weights that a run exports and keeps."""

    top: Natural
    keep_weights: Natural | None  # None: all
    source: Literal["standalone", "import"]

    @model_validator(mode="after")
    def _kept(self) -> Self:
        if self.keep_weights is not None and self.keep_weights < self.top:
            raise ValueError(
                f"export.keep_weights is {self.keep_weights}; it must be at least export.top "
                f"({self.top}), or null"
            )
        return self


class ConfirmSettings(Strict):
    """How the best samples are trained again at the end; see `runner.stages.ConfirmStage`."""

    top: Annotated[int, Field(ge=1)]
    seeds: Annotated[int, Field(ge=1)]


class Settings(Strict):
    """The whole config of a run, as plain JSON. Groups are nodes with a `_target_`."""

    engine: GroupNode
    space: GroupNode
    strategy: GroupNode
    stopper: GroupNode
    evaluator: GroupNode
    data: GroupNode
    training: GroupNode
    task: GroupNode
    seed: Natural
    budget: BudgetSettings
    objective: Annotated[
        Annotated[ObjectiveSettings, Tag("one")]
        | Annotated[list[ObjectiveSettings], Tag("several")],
        Discriminator(lambda given: "several" if isinstance(given, list) else "one"),
    ]
    constraints: list[str]
    measure: dict[str, GroupNode]
    measures: list[str]
    proxy: dict[str, GroupNode]
    screen: ScreenSettings | None
    search: dict[str, Any] | None
    initial_weights: str | None
    fidelity: FidelitySettings | None
    prior: dict[str, list[float]] | None
    repeat: Annotated[int, Field(ge=1)]
    confirm: ConfirmSettings | None
    compare: Literal["random"] | None
    dedup: bool
    export: ExportSettings
    report: Annotated[float, Field(gt=0)] | None  # None: there is none
    logger: dict[str, GroupNode]
    trust: list[str]
    resume: str | None
    _saved: dict[str, str] = PrivateAttr(default_factory=dict)  # key -> text in place of a secret

    def saved(self) -> dict[str, Any]:
        """Returns the config as plain values without secrets, as it is saved and shown: with names
        of variables of the environment, and masks in place of others."""
        plain: dict[str, Any] = masked_config(self.model_dump(), self._saved)
        return plain

    @property
    def secrets(self) -> dict[str, str]:
        """The values that are saved otherwise, by their keys."""
        return {
            key: text
            for key, text, is_secret in texts(self.model_dump())
            if saved_text(key, text, is_secret, self._saved) != text
        }

    @property
    def secret_texts(self) -> tuple[str, ...]:
        """The secrets themselves, to be masked wherever they occur."""
        return secrets_of(self.secrets, self._saved)

    def with_secrets_of(self, other: "Settings") -> Self:
        """Returns these settings, saved without what is a secret in others, of which these were
        made: also if those were recorded without it."""
        recorded = {key: text for key, text, _ in texts(other.model_dump())
                    if is_masked(text) and masked(text, is_secret=False) == text
                    and not has_masked_part(text)}  # fmt: skip
        made = self.model_copy()
        made._saved = {**recorded, **other._saved, **self._saved}
        return made

    @property
    def model(self) -> GroupNode:
        """The node that builds the model: that of the space without its other keys."""
        return {key: value for key, value in self.space.items() if key not in BESIDE}

    @property
    def searcher(self) -> GroupNode:
        """The node that builds the strategy: that of the strategy without its other key."""
        return {key: value for key, value in self.strategy.items() if key != FIRST}

    @property
    def first(self) -> list[Any]:
        """What is proposed first: samples, which may be incomplete, and folders of runs."""
        found = self.strategy.get(FIRST)
        if found is not None and not isinstance(found, list):
            raise ConfigError(
                f"strategy.first is {found!r}; it must be a list of samples and of folders of "
                "runs, such as [{depth: 2}, outputs/old]."
            )
        return [*(found or ())]

    @property
    def objectives(self) -> list[ObjectiveSettings]:
        """The objectives, whether there is one or a list of them."""
        return self.objective if isinstance(self.objective, list) else [self.objective]

    @property
    def mutators(self) -> list[GroupNode]:
        """The nodes of the mutators, in the order they are applied."""
        return [*(self.space.get(MUTATORS) or ())]

    @property
    def input(self) -> list[int] | None:
        """The shape of an example for validating mutated models; None if the space has none."""
        found = self.space.get(INPUT)
        sizes = found if isinstance(found, list) and found else [None]
        if found is not None and not all(type(size) is int and size > 0 for size in sizes):
            raise ConfigError(
                f"space.input is {as_yaml(found)}; it must be the shape of one example, such as "
                "[3, 224, 224]."
            )
        return found

    @property
    def weights(self) -> str | None:
        """The initialization of mutated models: "inherit", or None for their own initial values."""
        found: str | None = self.space.get(WEIGHTS)
        if found not in (None, INHERIT):
            raise ConfigError(
                f"space.weights is {as_yaml(found)}; it must be null or {INHERIT!r}. An argument "
                "of the model with this name belongs in space.model, with space=mutate."
            )
        return found


def conf_folder() -> Path:
    """Returns the folder of the config tree: next to the package, or inside it in a wheel."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def settings_from(config: DictConfig, overrides: Sequence[str]) -> Settings:
    """Returns validated settings from a composed config and its overrides.

    Raises ConfigError for unknown keys, wrong types, values out of range, missing values, and
    targets that are not allowed.
    """
    config = config.copy()
    OmegaConf.set_struct(config, False)
    _drop_sweep(config)
    _drop_arguments_of_replaced_targets(config, overrides)
    for key, value in leaves_of(OmegaConf.to_container(config)):
        if value == "???":
            raise ConfigError(f"{key} has no value; give it one: {key}=...")
    for key in Settings.model_fields.keys() - {*config}:  # now: other keys may refer to it
        raise ConfigError(f"The key {key!r} is missing in the config.")
    written = WrittenConfig(OmegaConf.to_container(config))
    written.check_variables()
    plain: Any = OmegaConf.to_container(config, resolve=True)
    for key in plain.keys() - Settings.model_fields.keys():
        raise ConfigError(
            f"There is no key {as_yaml(key)} in the config."
            f"{did_you_mean(str(key), Settings.model_fields)}"
        )
    if overrides and isinstance(plain["space"], dict) and isinstance(plain["data"], dict):
        _add_sizes(plain["space"], plain["data"], plain.get("trust") or [])
    plain = _with_mutators(plain)
    found = [*texts(plain)]
    if lost := [key for key, text, is_secret in found if is_secret and is_masked(text)]:
        raise ConfigError(f"{few(lost, SHOWN)} is {MASK}, {give_again(lost)}")
    settings = _validated(plain)
    parts = ("engine", "space", "strategy", "stopper", "evaluator", "data", "training", "task")
    for group in parts:
        if "_target_" not in plain[group]:
            raise ConfigError(f"{group} has no _target_; choose an option, such as {group}=NAME.")
    check_targets(plain, settings.trust)
    settings._saved.update(saved_texts(written, found, _with_mutators))
    _check_searched(settings)
    masker.learn(settings.secret_texts)
    return settings


def _with_mutators(plain: dict[str, Any]) -> dict[str, Any]:
    """Returns a plain config in which the short forms of mutators are written out."""
    space = plain.get("space")
    if not isinstance(space, dict) or not space.get(MUTATORS):
        return plain
    return {**plain, "space": {**space, MUTATORS: written_out(space[MUTATORS])}}


def _validated(plain: dict[str, Any]) -> Settings:
    """Returns the settings that a plain config has. Raises ConfigError."""
    try:
        return Settings.model_validate(plain)
    except ValidationError as error:
        problem = error.errors()[0]
        path = [part for part in problem["loc"] if part not in TAGS]
        where = "".join(f"[{p}]" if type(p) is int else f".{p}" for p in path)[1:]
        if problem["type"] == "value_error":
            raise ConfigError(f"{problem['ctx']['error']}.") from None
        if problem["type"] == "extra_forbidden":
            kind: Any = Settings.model_fields[str(problem["loc"][0])].annotation
            names = [n for k in (kind, *get_args(kind)) for n in getattr(k, "model_fields", ())]
            near = did_you_mean(str(problem["loc"][-1]), names)
            raise ConfigError(f"There is no key {where!r} in the config.{near}") from None
        if problem["type"] == "missing":
            raise ConfigError(f"The key {where!r} is missing in the config.") from None
        rule = KINDS.get(problem["type"])
        told = f"; it must be {rule}" if rule else f": {problem['msg']}"
        raise ConfigError(f"{where} is {as_yaml(problem['input'])}{told}.") from None


def _check_searched(settings: Settings) -> None:
    """Raises ConfigError for candidates that are secrets: samples are recorded and shown."""
    for label, candidates in (settings.search or {}).items():
        each = candidates if isinstance(candidates, list) else [candidates]
        found = [one for candidate in each for one in texts_at(label, candidate)]
        for key in (key for key, _, is_secret in found if is_secret):
            raise ConfigError(
                f"search names {key!r}, which is a secret by its name, and would be recorded with "
                "each trial; only numbers of it can be searched."
            )
    for key in settings._saved:
        if key.startswith("search."):
            raise ConfigError(
                f"{key} has a secret of this config in it, and would be recorded with each trial; "
                "give another candidate."
            )


def leaves_of(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the values of nested dicts by dotted path; an empty dict is a value."""
    if isinstance(config, dict) and config:
        for key, item in config.items():
            yield from leaves_of(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, config


def _drop_sweep(config: DictConfig) -> None:
    """Removes the key of sweeps, which is read from the command line and is no part of a run."""
    found = config.pop(SWEEP, None)
    sweep = OmegaConf.to_container(found) if isinstance(found, DictConfig) else found
    if sweep not in (None, {"resume": None}):
        raise ConfigError(
            f"sweep is {as_yaml(sweep)}; it may only be given on the command line, as in "
            "python -m runner -m sweep.resume=multirun/DATE/TIME."
        )


def _drop_arguments_of_replaced_targets(config: DictConfig, overrides: Sequence[str]) -> None:
    """Removes the arguments of targets that an override replaced.

    Kept are arguments given by overrides, references to the rest of the config (such as `shape:
    ${data.shape}`) that the new class accepts, and all arguments that it requires.
    """
    keys = [*_given_keys(overrides)]
    for key in keys:
        path, _, name = key.rpartition(".")
        node = OmegaConf.select(config, path, throw_on_resolution_failure=False) if path else None
        if name != "_target_" or not isinstance(node, DictConfig):
            continue
        kept = {k.removeprefix(f"{path}.").split(".")[0] for k in keys if k.startswith(f"{path}.")}
        wanted = _parameters(node["_target_"], OmegaConf.select(config, "trust") or [], path)
        for argument in [str(k) for k in node if k not in kept and k not in KEYWORDS]:
            parameter = wanted.get(argument)
            needed = parameter is not None and parameter.default is parameter.empty
            refers = parameter is not None and OmegaConf.is_interpolation(node, argument)
            if not needed and not refers and (path, argument) != ("strategy", FIRST):
                del node[argument]


def _add_sizes(space: dict[str, Any], data: dict[str, Any], trust: Any) -> None:
    """Adds the sizes that a user's space takes from the data to its arguments, where they are not
    given. What cannot be imported is reported later."""
    for where, node in (("space", space), ("space.model", space.get("model"))):
        target = node.get("_target_") if isinstance(node, dict) else None
        if not isinstance(target, str) or not isinstance(trust, list) or not below(target, trust):
            continue
        assert isinstance(node, dict)
        with suppress(ConfigError):
            taken = taken_parameters(locate(target, trust, where))
            node |= missing_sizes(node, data, taken.known, where)


def _given_keys(overrides: Sequence[str]) -> Iterator[str]:
    """Yields the keys that overrides set, and those of the nodes that they write out."""
    for override in OverridesParser.create().parse_overrides([*overrides]):
        if override.is_delete():
            continue
        key, value = str(override.key_or_group), override.value()
        yield key
        if isinstance(value, dict) and "_target_" in value:
            yield from (f"{key}.{inner}" for inner in value)


def _parameters(path: str, trust: Sequence[str], where: str) -> Mapping[str, Parameter]:
    return signature(locate(path, trust, where)) or {}


def differences(before: Settings, now: Settings, free: Sequence[str]) -> list[str]:
    """Returns the differences between two settings as `key: old -> new`, without the `free`
    keys."""
    old, new = (dict(leaves_of(masked_config(one.saved(), {}))) for one in (before, now))
    return [
        f"{key}: {as_yaml(old.get(key, '(absent)'))} -> {as_yaml(new.get(key, '(absent)'))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key.split(".")[0] not in free
    ]
