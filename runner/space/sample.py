"""A walk through a space: the choices asked and the values chosen. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import final

from runner.errors import SampleError, SpaceError, did_you_mean
from runner.space.choice import Choice, JsonValue, key

Sample = dict[str, JsonValue]  # label -> value, plain JSON; equal samples mean equal models
Chooser = Callable[[Choice], JsonValue]


class DrawError(SpaceError):
    """Raised if the space's own code fails in a walk; `sample` holds the values chosen so far."""

    def __init__(self, message: str, sample: Sample) -> None:
        super().__init__(message)
        self.sample = sample


@final
@dataclass
class Walk:
    """One walk through a space. Asks once per label, and validates the choices and their values."""

    choose: Chooser
    sample: Sample = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    broken: DrawError | None = None  # why the walk broke off, if the space's own code raised

    def ask(self, choice: Choice) -> JsonValue:
        """Returns the value of a choice. Raises SpaceError for one label with two choices."""
        known = self.choices.get(choice.label)
        if known is None:
            self.choices[choice.label] = choice
            self.sample[choice.label] = choice.check(self.choose(choice))
        elif known != choice:
            raise SpaceError(
                f"Label '{choice.label}' is used by two choices: {known}; and {choice}. "
                "Give one of them another label."
            )
        return self.sample[choice.label]

    def whole(self) -> Sample:
        """Returns the sample. Raises DrawError if the walk broke off."""
        if self.broken is not None:
            raise self.broken
        return self.sample


def lookup(sample: Mapping[str, JsonValue]) -> Chooser:
    """Returns a chooser that reads a sample, and raises SampleError for a missing label."""

    def choose(choice: Choice) -> JsonValue:
        if choice.label not in sample:
            near = did_you_mean(choice.label, sample)
            raise SampleError(f"The sample has no value for '{choice.label}' ({choice}).{near}")
        return sample[choice.label]

    return choose


def sample_key(sample: Mapping[str, JsonValue]) -> str:
    """Returns a text that is equal for equal samples, regardless of the order of their labels."""
    return key(dict(sample))


def generator(seed: int, *place: int | str) -> Random:
    """Returns a random generator that depends only on a seed and a position in the run."""
    return Random("/".join(map(str, (seed, *place))))
