"""One walk through a space: what is asked, and what is answered. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import final

from runner.errors import SampleError, SpaceError, did_you_mean
from runner.space.choice import Choice, JsonValue, key

Sample = dict[str, JsonValue]  # label -> value, plain JSON: the same sample means the same model
Chooser = Callable[[Choice], JsonValue]


class DrawError(SpaceError):
    """A space whose own code raised while it was walked; `sample` holds what was decided so far."""

    def __init__(self, message: str, sample: Sample) -> None:
        super().__init__(message)
        self.sample = sample


@final
@dataclass
class Walk:
    """One walk through a space: asks once per label, and checks questions and answers."""

    choose: Chooser
    sample: Sample = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    broken: DrawError | None = None  # why it broke off, if the space's own code raised

    def ask(self, choice: Choice) -> JsonValue:
        """The answer to a choice. Raises SpaceError for one label with two sets of candidates."""
        known = self.choices.get(choice.label)
        if known is None:
            self.choices[choice.label] = choice
            self.sample[choice.label] = choice.check(self.choose(choice))
        elif known != choice:
            raise SpaceError(
                f"Label '{choice.label}' stands for two choices: {known}; and {choice}. "
                "Give one of them another label."
            )
        return self.sample[choice.label]

    def whole(self) -> Sample:
        """Returns the sample. Raises DrawError if the walk broke off."""
        if self.broken is not None:
            raise self.broken
        return self.sample


def lookup(sample: Mapping[str, JsonValue]) -> Chooser:
    """A chooser that reads a sample. Raises SampleError, naming the label, when one is missing."""

    def choose(choice: Choice) -> JsonValue:
        if choice.label not in sample:
            near = did_you_mean(choice.label, sample)
            raise SampleError(f"The sample has no value for '{choice.label}' ({choice}).{near}")
        return sample[choice.label]

    return choose


def sample_key(sample: Mapping[str, JsonValue]) -> str:
    """A text that is equal for equal samples, whatever the order of their labels."""
    return key(dict(sample))


def generator(seed: int, *place: int | str) -> Random:
    """Random numbers that depend on a seed and a place in the run, and on nothing else."""
    return Random("/".join(map(str, (seed, *place))))
