"""The secrets of a composed config: masked in it from the first moment on, since Hydra saves it.

What was masked is kept in the cache that OmegaConf gives each config for the values of resolvers:
copies of a config have it as well, and what is written or sent of it has not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from omegaconf import DictConfig, ListConfig, OmegaConf, read_write

from runner.config.secrets import (
    changed,
    is_masked,
    key_of,
    masked_as_written,
    masked_override,
    secrets_in,
    secrets_of_override,
    taken_secrets,
    texts,
)
from runner.masking import MASK, is_ordinary, masker

HIDDEN = "runner.secrets"  # in the cache of a config
ENVIRONMENT = "hydra.job.env_set."  # variables, which have these values in our environment


@final
@dataclass(frozen=True)
class HiddenSecrets:
    """What was masked in a config. A pickle has none of it: launchers and callbacks write some."""

    texts: Mapping[str, str]  # key -> text, before
    overrides: Mapping[str, str]  # key -> the override that sets it, before

    def __deepcopy__(self, memo: dict[int, Any]) -> "HiddenSecrets":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenSecrets, ({}, {})


def learn_overrides(overrides: Sequence[str]) -> None:
    """Remembers the secrets of overrides, before anything is said of them."""
    masker.learn(secret for one in overrides for secret in secrets_of_override(one))


def shown_override(override: str) -> str:
    """Returns an override with its secrets masked, and what other texts have of known ones."""
    return masked_override(override, _cleaned)


def hide_secrets(config: DictConfig, overrides: Sequence[str]) -> None:
    """Masks the secrets of a config in place, and those of the overrides that it was composed from.
    They can be restored from it, and from copies in this process."""
    plain = OmegaConf.to_container(config)
    learn_overrides(overrides)
    masker.learn(_secrets_of(plain))  # first: other texts may have them
    shown = {one: shown_override(one) for one in overrides}
    before: dict[str, str] = {}
    after: dict[str, str] = {}

    def hide(key: str, text: str, is_secret: bool) -> str:
        new = _masked_by_hydra(key, text, is_secret, shown)
        if new is None:
            new = masked_as_written(text, is_secret=is_secret)
            if not key.startswith("hydra."):
                new = _cleaned(new)
            if new != text:
                before[key] = text
        if new != text:
            after[key] = new
        return new

    changed(plain, hide)
    _put(config, after)
    given = {key_of(one): one for one, new in shown.items() if new != one}
    OmegaConf.get_cache(config)[HIDDEN] = HiddenSecrets(before, given)


def hidden_in(config: DictConfig) -> HiddenSecrets:
    """Returns what was masked in a config, or in what it is a copy of."""
    found = OmegaConf.get_cache(config).get(HIDDEN)
    return found if isinstance(found, HiddenSecrets) else HiddenSecrets({}, {})


def restored_config(config: DictConfig) -> DictConfig:
    """Returns a config with the secrets that were masked in it."""
    found = config.copy()
    _put(found, hidden_in(config).texts)
    return found


def restored_overrides(overrides: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """Returns overrides, some with masks, as they were given: `given` has those, by their keys."""
    return [given.get(key_of(one), one) if is_masked(one) else one for one in overrides]


def _masked_by_hydra(key: str, text: str, is_secret: bool, shown: Mapping[str, str]) -> str | None:
    """Returns what stands for a text that Hydra copied into a config; None for other texts."""
    if key.startswith(ENVIRONMENT) and is_secret:  # Hydra sets it before a run
        return f"${{oc.env:{key.removeprefix(ENVIRONMENT)}}}"
    if key.startswith("hydra.overrides."):
        return shown.get(text) or shown_override(text)
    if key == "hydra.job.override_dirname":
        for one, new in shown.items():
            text = text.replace(one.lstrip("+"), new.lstrip("+"))
        return text
    return None


def _secrets_of(config: Any) -> Iterator[str]:
    """Yields the secrets of a plain config, as it is written."""
    for _, text, is_secret in texts(config):
        yield from taken_secrets(text, is_secret=is_secret)
        if (new := masked_as_written(text, is_secret=is_secret)) != text:
            yield from secrets_in(text, is_secret=new == MASK)


def _cleaned(text: str) -> str:
    """Returns a text without known secrets. An ordinary word by itself is none."""
    return text if is_ordinary(text) else masker.clean(text)


def _put(node: DictConfig | ListConfig, found: Mapping[str, str], where: str = "") -> None:
    """Sets texts at keys of a config, which may be read-only, without resolving anything."""
    if not found:
        return
    with read_write(node):
        for key, inner in _keys(node, where):
            if inner in found:
                node[key] = found[inner]
            elif OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
                continue
            elif isinstance(below := node[key], DictConfig | ListConfig):
                _put(below, found, inner)


def _keys(node: DictConfig | ListConfig, where: str) -> list[tuple[Any, str]]:
    """Returns the keys of a node, each with the key of the whole config."""
    if isinstance(node, ListConfig):
        return [(i, f"{where}[{i}]") for i in range(len(node))]
    return [(key, f"{where}.{key!s}" if where else str(key)) for key in node]
