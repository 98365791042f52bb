"""The samples that a search proposes first: given ones, and the best of other runs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import ConfigError
from runner.ranking import top
from runner.space.choice import JsonValue
from runner.space.sample import Sample
from runner.space.space import Space
from runner.store import RECORD, read
from runner.strategies.first import completed

BEST = 10  # trials of another run


def first_samples(entries: Sequence[Any], space: Space, seed: int) -> list[Sample]:
    """Returns the samples of `strategy.first`, completed: each entry is a sample, which may lack
    values, or the folder of a run, which stands for its best trials, and is only read. Raises
    ConfigError for what is not in the space, and RunFailed for a record that cannot be read."""
    return [
        completed(space, given, seed, where)
        for i, entry in enumerate(entries)
        for where, given in _samples(entry, f"strategy.first[{i}]")
    ]


def _samples(entry: Any, where: str) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    if isinstance(entry, Mapping):
        yield where, entry
        return
    folder = Path(entry) if isinstance(entry, str) and entry and "\0" not in entry else None
    if folder is None or not (folder / RECORD).is_file():
        raise ConfigError(
            f"{where} is {entry!r}; it must be a sample, such as {{depth: 2}}, or the folder of a "
            "run, such as outputs/latest."
        )
    for trial in top(read(folder).trials, BEST):
        yield f"{where}, trial {trial.number} of {folder}", trial.sample
