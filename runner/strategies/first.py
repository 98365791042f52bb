"""A strategy that proposes given samples first, and then what another one proposes."""

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import final

from runner.errors import ConfigError, SampleError, did_you_mean
from runner.space.choice import Choice, JsonValue
from runner.space.sample import Sample, generator, sample_key
from runner.space.space import Space
from runner.strategies.strategy import Strategy
from runner.strategies.wrapper import StrategyWrapper
from runner.trial import Trial

_DRAWS = 200  # random completions, among which one is looked for that asks for all given labels


@final
class First(StrategyWrapper):
    """Proposes samples in order, without those that were tried, and then what a strategy proposes,
    which observes all trials if it learns from them."""

    def __init__(self, strategy: Strategy, samples: Sequence[Sample]) -> None:
        super().__init__(strategy)
        self._left = {sample_key(sample): sample for sample in samples}
        self._given: set[int] = set()  # numbers of the trials with these samples

    def propose(self, number: int) -> Sample:
        if self._left:
            self.parent, self.random, self.fixed = None, False, True
            return next(iter(self._left.values()))
        return super().propose(number)

    def observe(self, trial: Trial) -> None:
        if trial.running and self._left.pop(sample_key(trial.sample), None) is not None:
            self._given.add(trial.number)
        if self.learns or trial.number not in self._given:
            super().observe(trial)


def completed(space: Space, given: Mapping[str, JsonValue], seed: int, where: str) -> Sample:
    """Returns a sample of a space with some given values; the others are random. Raises
    ConfigError, which names `where`, if there is none."""
    unasked: set[str] = set()
    for i in range(_DRAWS):
        try:
            walk = space.walk(partial(_given_or_random, given, generator(seed, where, i)))
        except SampleError as error:
            raise ConfigError(f"{where}: {error}") from error
        if walk.broken is None and walk.sample.keys() >= given.keys():
            return walk.sample
        if walk.broken is None:
            unasked = given.keys() - walk.sample.keys()
    if not unasked:
        raise ConfigError(f"{where}: no model could be built with {dict(given)!r}.")
    label = min(unasked)
    met = space.meet([label])
    if label in met:
        raise ConfigError(
            f"{where} gives {label!r} a value, but its other values rule that choice out."
        )
    raise ConfigError(
        f"{where} has the label {label!r}, which no choice of the space has."
        f"{did_you_mean(label, met)}"
    )


def _given_or_random(given: Mapping[str, JsonValue], rng: Random, choice: Choice) -> JsonValue:
    if choice.label in given:
        return choice.check(given[choice.label])
    return choice.random(rng)
