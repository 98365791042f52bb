"""Fidelity: how far a trial is trained, in rungs; the best trials of a rung go on to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, final

from runner.errors import ConfigError, require
from runner.space.choice import Categorical, JsonValue
from runner.space.space import FlatSpace

EPOCHS = "evaluator.epochs"  # the key of rungs from which a promoted trial goes on


@final
@dataclass(frozen=True)
class Fidelity:
    """A key of the config that says how far a trial is trained, such as `evaluator.epochs`, and its
    values: `max`, and below it one `eta`-th of the last, down to `min`.

    The value is part of a trial's sample. Results are compared at `max` alone.
    """

    key: str
    min: int
    max: int
    eta: int

    def __post_init__(self) -> None:
        require(self.min >= 1, "fidelity.min", self.min, "at least 1")
        require(self.eta >= 2, "fidelity.eta", self.eta, "at least 2")
        rule = f"at least eta * min, which is {self.eta * self.min}, for two rungs"
        require(self.max >= self.eta * self.min, "fidelity.max", self.max, rule)

    @classmethod
    def of(cls, given: Any) -> Self:
        """Returns the fidelity of a config. Raises ConfigError."""
        names = ("min", "max", "eta")
        fits = isinstance(given, Mapping) and given.keys() == {"key", *names}
        if (
            not fits
            or type(given["key"]) is not str
            or any(type(given[n]) is not int for n in names)
        ):
            raise ConfigError(
                f"fidelity is {given!r}; it must be like {{key: evaluator.epochs, min: 1, max: 27, "
                "eta: 3}."
            )
        return cls(**given)

    @property
    def rungs(self) -> tuple[int, ...]:
        """The values of the key, ascending: of the lowest rung first."""
        found = [self.max]
        while (lower := self.max // self.eta ** len(found)) >= self.min:
            found.append(lower)
        return tuple(reversed(found))

    @property
    def space(self) -> FlatSpace:
        """The space of the rungs, which is joined with that of the search."""
        return FlatSpace([Categorical(self.key, self.rungs)])

    def rung(self, sample: Mapping[str, JsonValue]) -> int:
        """Returns the rung of a sample, counted from 0; 0 if drawing it broke off before."""
        value = sample.get(self.key)
        return self.rungs.index(value) if type(value) is int and value in self.rungs else 0

    def begin(self, sample: Mapping[str, JsonValue], steps: int) -> int:
        """Returns the epoch where the training of a promoted trial began, given how often it
        reported: where its parent ended; 0 if it trained more than what was left. Rungs that are no
        epochs are always trained from the beginning."""
        place = self.rung(sample)
        if self.key != EPOCHS or place == 0:
            return 0
        below, end = self.rungs[place - 1], self.rungs[place]
        return 0 if steps > end - below else below

    def without_rung(self, sample: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Returns the part of a sample that is the same on all rungs."""
        return {label: value for label, value in sample.items() if label != self.key}

    def is_partial(self, sample: Mapping[str, JsonValue]) -> bool:
        """Returns whether a trial of this sample is not trained to the end."""
        return self.key in sample and sample[self.key] != self.max
