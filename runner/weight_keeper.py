"""Keeps the weights of the best trials of a run, and deletes those that nobody needs."""

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import final

from runner.ranking import front, pillars, top
from runner.repeats import SampleResults
from runner.trial import STATE, WEIGHTS, Trial, trial_folder
from runner.whole_files import partial_of


@final
class WeightKeeper:
    """A keeper of the weights of the best trials so far (of several objectives: of the whole front,
    too), and of recent ones, from which others may start; deletes all others.

    The weights of a sample are those of its first training, which are kept until its trainings have
    ended. Its state depends only on the order in which trials ended, so a resumed run restores it.
    """

    def __init__(
        self,
        folder: Path,
        keep: int | None,
        recent: int = 0,
        repeats: int = 1,
        *,
        confirms: bool = False,
    ) -> None:
        """Keeps the weights of the `keep` best trials (None: all) and of the `recent` latest ones,
        each trained `repeats` times; with a confirmation, also of those that it compares."""
        self._folder = folder
        self._keep = keep
        self._recent: deque[int] = deque(maxlen=recent)
        self._results = SampleResults(repeats)
        self._confirms = confirms
        self._best: list[Trial] = []
        self._there: set[int] = set()  # trials whose weights exist

    def see(self, trial: Trial) -> None:
        """Updates what is kept; called for each trial that has ended, even in earlier sessions."""
        state = trial_folder(self._folder, trial.number) / STATE
        for path in (state, partial_of(state)):  # a worker that died has left it
            path.unlink(missing_ok=True)
        if trial.stopped and trial.duplicate_of is None:
            self._delete(trial.number)  # of a worker that had trained it before it was told
        if self._keep is None:
            return
        if trial.repeat_of is not None:
            self._delete(trial.number)
        elif trial.scored:
            self._recent.append(trial.owner)
            if trial.duplicate_of is None:
                self._there.add(trial.number)
        for result in self._results.see(trial) if trial.stage != "confirm" else ():
            if result.scored and result.duplicate_of is None:
                self._rank(result, self._keep)
        best = {one.number for one in self._best}
        gone = self._there - best - {*self._recent, *self._results.undecided}
        for number in gone:
            self._delete(number)
        self._there -= gone

    def _rank(self, result: Trial, keep: int) -> None:
        """Takes the result of a sample."""
        known = [*self._best, result]
        first = front(known) if len(result.scores) > 1 else []
        others = pillars(known) if self._confirms else []
        best = (*top(known, keep), *first, *others)
        self._best = [*{trial.number: trial for trial in best}.values()]

    def _delete(self, number: int) -> None:
        folder = trial_folder(self._folder, number)
        (folder / WEIGHTS).unlink(missing_ok=True)
        with suppress(OSError):  # it contains other files
            folder.rmdir()
