"""The choices of a run, for its report: candidates from the space, or else the values seen."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from runner.display import format as text
from runner.errors import SampleError
from runner.report.embedded import shown
from runner.space.choice import Categorical, Choice, JsonValue, Numeric, Subset, key
from runner.space.sample import Sample, lookup
from runner.space.space import Space
from runner.space.structure import Condition, Part
from runner.trial import Trial

WALKS = 20  # through a space, at most
FEW = 12  # numbers, not all of them whole, that may be all that the space has
DECADES = 100.0  # between the ends of a range that is taken as logarithmic, if nothing is known
LISTED = 64  # candidates that are drawn one by one


@final
@dataclass(frozen=True)
class SeenChoice:
    """A label of samples: its values in the order they were first tried, and what its space says of
    it, if that is known."""

    label: str
    values: Sequence[JsonValue]
    part: Part | None = None

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(type(value) in (int, float) for value in self.values)

    def places(self) -> Mapping[str, int]:
        """Returns the place of each value, by its key."""
        return {key(value): i for i, value in enumerate(self.values)}

    def data(self) -> dict[str, Any]:
        """Returns the choice as JSON for the page."""
        choice = None if self.part is None else self.part.choice
        return {
            "label": text.clean(self.label),
            "values": [shown(value) for value in self.values],
            "numeric": self.is_numeric,
            **(self._seen() if choice is None else _known(choice)),
            "when": "" if self.part is None else condition_text(self.part.condition),
        }

    def _seen(self) -> dict[str, Any]:
        most = FEW if any(isinstance(value, float) for value in self.values) else LISTED
        if self.is_numeric and len(self.values) > most:
            low, high = min(self.values), max(self.values)
            is_log = low > 0 and high / low >= DECADES
            return {"low": low, "high": high, "log": is_log, "seen": True}
        ordered = sorted(self.values) if self.is_numeric else self.values
        return {"candidates": [shown(value) for value in ordered], "seen": True}


def seen_choices(trials: Iterable[Trial], parts: Sequence[Part] = ()) -> list[SeenChoice]:
    """Returns the choices of some trials, in the order they were first asked."""
    values: dict[str, dict[str, JsonValue]] = {}
    for trial in trials:
        for label, value in trial.sample.items():
            values.setdefault(label, {}).setdefault(key(value), value)
    known = {part.choice.label: part for part in parts}
    never = [label for label in known if label not in values]
    return [
        SeenChoice(label, [*values.get(label, {}).values()], known.get(label))
        for label in (*values, *never)
    ]


def met_choices(space: Space, samples: Iterable[Sample]) -> list[Part]:
    """Returns the choices of a space that samples answer, by walks through it with these samples,
    of which there are few. Says nothing about conditions."""
    found: dict[str, Choice] = {}
    left = WALKS
    for sample in samples:
        if left and not sample.keys() <= found.keys():
            left -= 1
            try:
                found = space.walk(lookup(sample)).choices | found
            except SampleError:  # the space has changed
                continue
    return [Part(choice, {}) for choice in found.values()]


def condition_text(condition: Condition) -> str:
    """Formats a condition, such as `depth = 2 or 3, kind = basic`."""
    return ", ".join(
        f"{text.clean(label)} = {' or '.join(map(shown, values))}"
        for label, values in condition.items()
    )


def _known(choice: Choice) -> dict[str, Any]:
    """Returns the candidates of a choice as JSON for the page."""
    match choice:
        case Categorical():
            return {"candidates": [shown(value) for value in choice.candidates]}
        case Numeric() if choice.size > LISTED:
            return {"low": choice.low, "high": choice.high, "log": choice.log}
        case Subset():
            return {"indices": choice.n}
    return {"candidates": [json.dumps(value) for value in choice.values()]}
