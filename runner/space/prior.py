"""A space whose choices have other priors: those of a config, by label."""

from collections.abc import Mapping, Sequence
from typing import final

from runner.errors import ConfigError, SpaceError, did_you_mean
from runner.space.choice import Choice
from runner.space.sample import Chooser, Sample
from runner.space.space import Space


@final
class WeightedSpace(Space):
    """Another space, in which `priors` weigh the values of some choices in random draws."""

    def __init__(self, space: Space, priors: Mapping[str, Sequence[float]]) -> None:
        """Raises ConfigError for a label that no choice has, and for weights that do not fit."""
        self.space = space
        self.priors = priors
        met = space.meet(priors.keys())
        for label in priors:
            if label not in met:
                raise ConfigError(
                    f"prior has the label {label!r}, which no choice of the space has."
                    f"{did_you_mean(label, met)}"
                )
            self._weighted(met[label])

    @property
    def refuses(self) -> bool:
        return self.space.refuses

    @property
    def slow(self) -> bool:
        return self.space.slow

    def draw(self, choose: Chooser) -> Sample:
        return self.space.draw(lambda choice: choose(self._weighted(choice)))

    def _weighted(self, choice: Choice) -> Choice:
        if choice.label not in self.priors:
            return choice
        try:
            return choice.with_prior(self.priors[choice.label])
        except SpaceError as error:
            raise ConfigError(f"prior.{choice.label}: {error}") from error
