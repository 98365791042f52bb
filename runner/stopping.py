"""Early stopping in a search: which trials to end, and those whose workers have yet to notice."""

from typing import final

from runner.errors import naming_part
from runner.stoppers.stopper import Stopper
from runner.trial import Trial, epochs_of


@final
class Stopping:
    """Asks a stopper about each report, except the last one of a trial, which is trained by then,
    and those of trials that confirm others, which are to be trained to the end.

    A stopped trial has ended in the record at once, while its worker may go on for a while: what
    the worker still reports is ignored, so that no decision depends on how fast it is told.
    """

    def __init__(self, stopper: Stopper, epochs: object, resume: str) -> None:
        """`epochs` is how many a trial has unless its sample says otherwise, if that is known;
        `resume` is the override that continues the run, for messages."""
        self._stopper = stopper
        self._epochs = epochs
        self._resume = resume
        self._going_on: dict[int, Trial] = {}  # stopped trials whose workers have not finished

    def observe(self, trial: Trial) -> None:
        """Passes on a change of a trial."""
        if trial.stage == "confirm":
            return
        with naming_part(self._stopper, self._resume):
            self._stopper.observe(trial)

    def wants_to_stop(self, trial: Trial) -> bool:
        """Returns whether a running trial is to end now."""
        epochs = epochs_of(trial.sample, self._epochs)
        is_trained = epochs is not None and trial.step >= epochs
        if trial.stage == "confirm" or not trial.step or is_trained:
            return False
        with naming_part(self._stopper, self._resume):
            return self._stopper.should_stop(trial)

    def expect(self, trial: Trial) -> None:
        """Takes note of a trial that was stopped while its worker went on."""
        self._going_on[trial.number] = trial

    def release(self, number: int) -> Trial:
        """Returns a stopped trial whose worker has finished."""
        return self._going_on.pop(number)
