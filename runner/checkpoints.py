"""Checkpoints: where the training of a trial stands, from which another trial goes on."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor

from runner.fidelity import Fidelity
from runner.space.sample import Sample, sample_key
from runner.trial import CHECKPOINT, Metrics, State, Trial, seconds, trial_folder
from runner.weights import WeightsError, load_tensors, save_tensors

FACTS = "runner/facts"  # the entry of its header with all that is no tensor, as JSON


@final
@dataclass(frozen=True)
class TrainingState:
    """Where the training of a model stands after some epochs: plain tensors and plain JSON."""

    epoch: int  # so many are done
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    reports: Sequence[Metrics] = ()  # what the trial had reported by then
    seconds: float = 0.0  # for which the trial had run by then


@final
@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, in the folders of its trials. One belongs to a seed and to a
    sample, whatever its rung is."""

    folder: Path
    fidelity: Fidelity | None = None

    def save(self, trial: int, seed: int, sample: Sample, state: TrainingState) -> None:
        """Writes a checkpoint atomically."""
        facts = {"epoch": state.epoch, "of": self._of(seed, sample), "facts": state.facts}
        facts["reports"] = [dict(metrics) for metrics in state.reports]
        facts["seconds"] = state.seconds
        save_tensors(state.tensors, self._path(trial), {FACTS: json.dumps(facts)})

    def load(self, trial: int, seed: int, sample: Sample) -> TrainingState | None:
        """Returns the state that a trial of this seed and sample left, on whatever rung; None if
        there is none, or if it is damaged."""
        try:
            tensors, texts = load_tensors(self._path(trial))
            found = json.loads(texts[FACTS])
            if found["of"] != self._of(seed, sample):
                return None
            reports, spent = found.get("reports", ()), seconds(found.get("seconds"))
            return TrainingState(found["epoch"], tensors, found["facts"], reports, spent)
        except (WeightsError, KeyError, TypeError, ValueError):
            return None

    def delete(self, trial: int) -> None:
        """Deletes a checkpoint, if there is one."""
        path = self._path(trial)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it contains other files
            path.parent.rmdir()

    def _path(self, trial: int) -> Path:
        return trial_folder(self.folder, trial) / CHECKPOINT

    def _of(self, seed: int, sample: Sample) -> str:
        of = sample if self.fidelity is None else self.fidelity.without_rung(sample)
        return f"{seed} {sample_key(of)}"


@final
class CheckpointKeeper:
    """A keeper of the checkpoints that some trial may still go on from; deletes all others.

    Its state depends only on the order in which trials ended, so a resumed run restores it.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        needed: Callable[[], Collection[int]],
        tell: Callable[[str], None],
        *,
        goes_on: bool,
    ) -> None:
        """`needed` returns the trials whose checkpoints are needed. With `goes_on`, trials go on
        from checkpoints, and the user is told once if one had to start anew."""
        assert checkpoints.fidelity is not None
        self._checkpoints, self._fidelity = checkpoints, checkpoints.fidelity
        self._needed = needed
        self._tell = tell
        self._silent = not goes_on
        self._there: set[int] = set()

    def see(self, trial: Trial) -> None:
        """Updates what is kept; called for each trial that has ended, even in earlier sessions."""
        if trial.state is not State.FINISHED or trial.duplicate_of is not None:
            return
        if trial.partial:
            self._there.add(trial.number)
        for number in self._there - {*self._needed()}:
            self._checkpoints.delete(number)
            self._there.discard(number)
        self._look_back(trial)

    def _look_back(self, trial: Trial) -> None:
        """Tells once of a trial that did not go on from its parent, but started anew."""
        fidelity = self._fidelity
        if self._silent or trial.parent is None:
            return
        if trial.step >= fidelity.rungs[fidelity.rung(trial.sample)]:
            self._silent = True
            self._tell(
                f"Trial {trial.number} was trained from the beginning, since the checkpoint of "
                f"trial {trial.parent} was missing or damaged; the result is the same."
            )
