"""The checkpoint of a user's training code: what a trial finds again if it has to start anew."""

import io
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import numpy
import torch

from runner.errors import ConfigError, shown
from runner.trial import STATE, Metrics, seconds
from runner.whole_files import partial_of, write_whole

Resend = Callable[[Metrics], None]


@final
class FunctionCheckpoint:
    """The `checkpoint` argument of a function: `save(state)` keeps a state, and `load()` returns
    the last one if the trial had to start again, since its worker died or the run was killed.

    A state is built of tensors, numbers, texts, lists and dicts, such as a `state_dict`. Beside it
    are the states of the global random generators and what the trial had reported, which `load`
    puts back, so that the training goes on as it would have. It is removed when the trial ends.
    """

    def __init__(
        self,
        path: Path,
        seed: int,
        replay: Resend,
        went_on: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Takes the file, the seed of the trial, what repeats a report, and what is told before
        that for how many seconds the trial had run."""
        self._went_on = went_on
        self._began, self._before = time.monotonic(), 0.0  # seconds of earlier sessions
        self._path = path
        self._seed = seed
        self._replay = replay
        self._reports: list[Metrics] = []
        self._is_proven = False  # whether a state was read back as it was written

    def heard(self, metrics: Metrics) -> None:
        """Takes note of a report."""
        self._reports.append(metrics)

    def save(self, state: Any) -> None:
        """Writes a state in place of the last one, atomically. Raises ConfigError for one that
        holds something else than tensors and plain values."""
        memory = io.BytesIO()
        whole = {
            "state": state,
            "seed": self._seed,
            "reports": [dict(metrics) for metrics in self._reports],
            "random": _random_state(),
            "seconds": self._before + time.monotonic() - self._began,
        }
        try:
            torch.save(whole, memory)
            if not self._is_proven:
                memory.seek(0)
                torch.load(memory, weights_only=True)
                self._is_proven = True
        except Exception as error:
            raise ConfigError(
                f"checkpoint.save was given {shown(state)}, which cannot be kept: a state is made "
                "of tensors, numbers, texts, lists and dicts, such as model.state_dict()."
            ) from error
        write_whole(self._path, memory.getvalue())

    def load(self) -> Any:
        """Returns the last state, with its tensors on the CPU; None if there is none, or if its
        file is damaged. Repeats what was reported before it was saved."""
        try:
            whole = torch.load(self._path, map_location="cpu", weights_only=True)
            state, reports, numbers = whole["state"], whole["reports"], whole["random"]
            if whole["seed"] != self._seed:
                return None
            _set_random_state(numbers)
            before = seconds(whole.get("seconds"))
        except Exception:  # no file, or one that was cut or changed: start anew
            return None
        self._before = before
        self._went_on(before)
        for metrics in reports:
            self._replay(metrics)
        return state

    def delete(self) -> None:
        """Removes the state, if there is one."""
        for path in (self._path, partial_of(self._path)):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it contains other files
            self._path.parent.rmdir()


def checkpoint_path(folder: Path) -> Path:
    """Returns the file of a state, given the folder of its trial's own files."""
    return folder.parent / STATE


def _random_state() -> dict[str, Any]:
    kind, keys, place, *rest = numpy.random.get_state(legacy=True)
    found: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(numpy.asarray(keys).astype(numpy.int64)), place, *rest),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def _set_random_state(found: dict[str, Any]) -> None:
    kind, keys, *rest = found["numpy"]
    torch.set_rng_state(found["torch"])
    random.setstate(found["python"])
    numpy.random.set_state((kind, keys.numpy().astype(numpy.uint32), *rest))
    if "cuda" in found and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["cuda"])
