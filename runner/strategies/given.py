"""Only the samples of `strategy.first`, in their order."""

from typing import final

from runner.errors import ConfigError
from runner.space.sample import Sample
from runner.strategies.strategy import Strategy
from runner.trial import Trial


@final
class GivenSamples(Strategy):
    """Proposes nothing on its own: a search tries the samples of `strategy.first`, which
    `strategies.first.First` proposes, and then ends."""

    several = True
    exhausts = True
    learns = False

    def propose(self, number: int) -> Sample:
        if number == 0:
            raise ConfigError(
                "strategy=given tries the samples of strategy.first, which lists none; add them: "
                "'strategy.first=[{depth: 2}]'."
            )
        raise StopIteration

    def observe(self, trial: Trial) -> None:
        return
