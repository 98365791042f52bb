"""The contract of stoppers: end trials early, by what they and others reported."""

from abc import ABC, abstractmethod
from typing import ClassVar

from runner.errors import ConfigError
from runner.goals import Direction, Goals, Objective
from runner.trial import Trial


class Stopper(ABC):
    """A fold over the record: decisions depend only on the changes of trials observed so far.

    `objective` is the metric that it decides on, and whether more of it is better: `metric`, or
    that of the first objective of the search. `mode` is needed for a metric that is no objective.
    `decides` is False if it never stops a trial.
    """

    decides: ClassVar[bool] = True

    def __init__(self, goals: Goals, *, metric: str | None = None, mode: Direction | None = None):
        known = {one.metric: one.mode for one in goals.objectives}
        name = goals.objectives[0].metric if metric is None else metric
        if mode is None and name not in known:
            raise ConfigError(
                f"stopper.metric is {name!r}, which is no objective; set stopper.mode to max or "
                "min, whichever is better."
            )
        self.objective = Objective(name, mode or known[name])

    def check(self) -> None:  # noqa: B027
        """Raises an error if later decisions would, because of an argument. Called before a search,
        and must not change what is decided."""

    @abstractmethod
    def observe(self, trial: Trial) -> None:
        """Observes a change of a trial: called when it is proposed, when it starts, after each of
        its reports (`trial.step` counts them, `trial.metrics` are the latest values), and when it
        ends.

        On resume, all calls are repeated in their original order. A trial that is started again,
        since its worker or the run was ended, repeats its reports from step 1 on; steps that were
        observed before are to be ignored, since decisions were made on them.
        """

    @abstractmethod
    def should_stop(self, trial: Trial) -> bool:
        """Returns whether a running trial is to end, as of its last report; False before its first
        one. Draws no random numbers, and changes nothing."""
