"""No early stopping: every trial is trained to its end."""

from typing import final

from runner.goals import Goals
from runner.stoppers.stopper import Stopper
from runner.trial import Trial


@final
class Never(Stopper):
    """Stops no trial."""

    decides = False

    def __init__(self, goals: Goals) -> None:
        super().__init__(goals)

    def observe(self, trial: Trial) -> None:
        return

    def should_stop(self, trial: Trial) -> bool:
        return False
