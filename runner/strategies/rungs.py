"""Samples under a fidelity: new ones, each drawn once, and the same on higher rungs."""

from random import Random
from typing import final

from runner.errors import ConfigError
from runner.fidelity import Fidelity
from runner.goals import Goals
from runner.space.choice import Choice, JsonValue
from runner.space.sample import Chooser, DrawError, Sample, sample_key
from runner.space.space import Space
from runner.strategies.unseen import Unseen
from runner.trial import State, Trial

Merit = tuple[float, float, int]
EXAMPLE = "fidelity={key: evaluator.epochs, min: 1, max: 27, eta: 3}"


@final
class AtRung(Space):
    """A space in which the choice of the rung is made."""

    def __init__(self, space: Space, fidelity: Fidelity, rung: int) -> None:
        self._space = space
        self._key = fidelity.key
        self._value = fidelity.rungs[rung]

    def draw(self, choose: Chooser) -> Sample:
        def answer(choice: Choice) -> JsonValue:
            return self._value if choice.label == self._key else choose(choice)

        return self._space.draw(answer)


@final
class WithoutRungs(Space):
    """A space without the choice of the rung."""

    def __init__(self, space: Space, fidelity: Fidelity) -> None:
        self._space = AtRung(space, fidelity, 0)
        self._fidelity = fidelity

    def draw(self, choose: Chooser) -> Sample:
        try:
            return self._fidelity.without_rung(self._space.draw(choose))
        except DrawError as broken:
            raise DrawError(str(broken), self._fidelity.without_rung(broken.sample)) from broken


@final
class Rungs:
    """The samples of a space with a choice of rungs. Without a fidelity, there is one rung."""

    def __init__(self, space: Space, fidelity: Fidelity | None) -> None:
        self._fidelity = fidelity
        self._unseen = Unseen(space if fidelity is None else WithoutRungs(space, fidelity))

    @property
    def count(self) -> int:
        return 1 if self._fidelity is None else len(self._fidelity.rungs)

    def new(self, rung: int, rng: Random) -> Sample:
        """Returns a random sample on a rung that was seen on none. Raises StopIteration."""
        return self.at(self._unseen.draw(rng), rung)

    def at(self, sample: Sample, rung: int) -> Sample:
        """Returns a sample on another rung."""
        if self._fidelity is None:
            return sample
        return {**self._without(sample), self._fidelity.key: self._fidelity.rungs[rung]}

    def see(self, sample: Sample) -> None:
        """Records a sample that was proposed."""
        self._unseen.see(self._without(sample))

    def key(self, sample: Sample) -> str:
        """Returns a text that is equal for the same sample on any rung."""
        return sample_key(self._without(sample))

    def rung(self, sample: Sample) -> int:
        """Returns the rung of a sample, counted from 0."""
        return 0 if self._fidelity is None else self._fidelity.rung(sample)

    def _without(self, sample: Sample) -> Sample:
        return sample if self._fidelity is None else self._fidelity.without_rung(sample)


def needs_rungs(goals: Goals, name: str) -> None:
    """Raises ConfigError for a strategy that needs a fidelity and has none."""
    if goals.fidelity is None:
        raise ConfigError(
            f"strategy={name} promotes trials from rung to rung, and needs {EXAMPLE}."
        )


def has_result(trial: Trial) -> bool:
    """Returns whether a trial was trained as far as its rung, with a result."""
    return trial.state is State.FINISHED and bool(trial.scores)


def merit(trial: Trial) -> Merit:
    """Returns by what trials of a rung are sorted, best first: those that keep all constraints
    before others, then by score, then earlier ones first."""
    return trial.violation, -trial.scores[0], trial.number
