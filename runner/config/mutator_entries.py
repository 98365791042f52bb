"""The entries of `space.mutators`: short forms and their expansion. No torch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from runner.errors import ConfigError, as_yaml, did_you_mean

FOLDER = Path(__file__).parents[1] / "mutators"
KEYS: Mapping[object, str] = {True: "on", "class": "cls"}  # YAML reads a bare `on` as true


@final
@dataclass(frozen=True)
class Places:
    """The matches of a mutator in the default model."""

    word: str  # the mutator's name in a config
    paths: Sequence[str] | None  # None: unknown
    tied: bool  # whether all matches share one choice


def written_out(entries: object, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Expands the entries of `space.mutators` into nodes.

    `{on: layer3, depth: [1, 2]}` is short for a node of `runner.mutators.depth.Depth`; candidates
    with a `_target_` inside are not built. An entry with a `_target_` is kept as it is. Raises
    ConfigError for invalid entries, and unless exactly one key names a mutator.
    """
    if not isinstance(entries, list):
        raise ConfigError(
            f"space.mutators is {as_yaml(entries)}; it must be a list such as [{EXAMPLE}]."
        )
    targets = words(folder) if entries else {}
    return [_node(entry, f"space.mutators[{i}]", targets) for i, entry in enumerate(entries)]


def words(folder: Path = FOLDER) -> dict[str, str]:
    """Returns the import paths of the built-in mutators by name: a file that defines a mutator of
    the same name. Imports nothing."""
    found = {}
    for path in sorted(folder.glob("[!_]*.py")):
        name = path.stem.title()
        if re.search(rf"^class {name}\((Selective|Mutator)\b", path.read_text("utf-8"), re.M):
            found[path.stem] = f"runner.mutators.{path.stem}.{name}"
    return found


def _node(entry: object, where: str, targets: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is {as_yaml(entry)}; it must be an entry such as {EXAMPLE}.")
    named = {KEYS.get(key, str(key)): value for key, value in entry.items()}
    if "_target_" in named:
        return named
    found = [key for key in named if key in targets]
    if not found:
        near = "".join(did_you_mean(key, targets) for key in named if key not in SELECTS)
        known = f" There are {', '.join(targets)}; a custom mutator needs a _target_."
        shown = ", ".join(f"{key}: {as_yaml(value)}" for key, value in named.items())
        raise ConfigError(f"{where} names no mutator: {{{shown}}}.{near}{known}")
    if len(found) > 1:
        both = " and ".join(map(repr, found))
        raise ConfigError(f"{where} names several mutators, {both}; give each an entry of its own.")
    return {"_target_": targets[found[0]]} | {key: _unbuilt(v) for key, v in named.items()}


def _unbuilt(value: object) -> object:
    """Returns a value whose nodes become `functools.partial`s, so that each match gets its own
    instance."""
    if isinstance(value, dict):
        partial = {"_partial_": True} if "_target_" in value else {}
        return partial | {key: _unbuilt(item) for key, item in value.items()}
    return [_unbuilt(item) for item in value] if isinstance(value, list) else value


EXAMPLE = "{on: layer3, depth: [1, 2]}"
SELECTS = ("on", "cls", "op", "tie")  # keys that select matches
