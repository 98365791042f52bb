"""What the exported models of a run scored on the test split, which its record does not hold."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runner.space.sample import sample_key
from runner.trial import TOP, Metrics, Trial

LARGEST = 1_000_000  # bytes of a file
MOST = 100  # models
WRITTEN = ("sample", "metrics")
PREFIX = "test/"


def metrics_on_test(folder: Path, trials: Iterable[Trial]) -> Mapping[int, Metrics]:
    """Returns the test metrics of the models in `top/`, by the first trial with their sample.
    Leaves out what is not as an export writes it."""
    by_sample: dict[str, int] = {}
    for trial in trials:
        if trial.scored:
            by_sample.setdefault(sample_key(trial.sample), trial.number)
    found: dict[int, Metrics] = {}
    for place in sorted((folder / TOP).glob("[0-9]*"))[:MOST]:
        sample, metrics = (_object(place / f"{name}.json", folder) for name in WRITTEN)
        number = by_sample.get(_key(sample))
        tested = {
            name: float(value) for name, value in metrics.items()
            if name.startswith(PREFIX) and type(value) in (int, float)
        }  # fmt: skip
        if number is not None and tested:
            found[number] = tested
    return found


def _key(sample: dict[str, Any]) -> str:
    try:
        return sample_key(sample)
    except RecursionError:
        return ""


def _object(path: Path, folder: Path) -> dict[str, Any]:
    """Returns the JSON object in a file inside a folder; an empty one if there is none."""
    try:
        if not path.resolve().is_relative_to(folder) or path.stat().st_size > LARGEST:
            return {}
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
