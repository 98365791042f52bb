"""One member of a sweep: it runs in the driver, or in a process of the launcher."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from runner import launch
from runner.database import has_events
from runner.display import progress, silence
from runner.errors import Interrupted, RunFailed, RunnerError, one_line, place
from runner.masking import masker
from runner.sweeps.sweep_folder import MemberRecord, SweepFolder

Process = tuple[str, int]  # its host and its id


def this_process() -> Process:
    """Returns which process this is."""
    return socket.gethostname(), os.getpid()


@final
@dataclass(frozen=True)
class SweepMember:
    """What Hydra's launcher calls for each member, with its config.

    A launcher sends it to its processes, where the resolvers of the config are then known. It ends
    with NaN for a member that failed, so that the others go on.
    """

    sweep: SweepFolder
    driver: Process
    wants_traceback: bool
    stops: Callable[[], Sequence[int]] = tuple  # the signals by which the user stopped the driver

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.sweep, self.driver, self.wants_traceback)

    def __call__(self, config: DictConfig) -> float:
        number = int(HydraConfig.get().job.num)
        record = self.sweep.member(number)
        if record is None:
            raise RunFailed(f"The file of member {number} in {self.sweep.place} is gone.")
        if this_process() == self.driver:
            done = self._run(config, record)
            if done.state == "failed":
                show_failure(done)
        else:
            with _written_to(self.sweep.output(number)):
                done = self._run(config, record)
        return float("nan") if done.value is None else done.value

    def _run(self, config: DictConfig, record: MemberRecord) -> MemberRecord:
        """Runs a member, and writes down how it ended."""
        hydra_config = HydraConfig.get()
        folder = Path(hydra_config.runtime.output_dir)
        overrides: Any = OmegaConf.to_container(hydra_config.overrides.task)
        place_of_run = os.path.relpath(folder.resolve(), self.sweep.path.resolve())
        record = record.model_copy(update={"state": "running", "folder": place_of_run})
        self.sweep.write(record)
        try:
            done = self._outcome(record, launch.execute(config, overrides, folder), folder)
        except Exception as error:
            if stops := self.stops():  # a library has turned Ctrl-C into an error of its own
                raise Interrupted(stops[0]) from error
            self._show_traceback(error)
            done = _failed(record, error)
        finally:
            launch.leave_no_trace(folder, hydra_config.output_subdir, hydra_config.job.name)
        self.sweep.write(done)
        return done

    @staticmethod
    def _outcome(record: MemberRecord, value: float | None, folder: Path) -> MemberRecord:
        from runner.results import Run  # it imports torch

        if value is None:  # the task has no objective
            return record.ended(None, ())
        scores: Sequence[float] = ()
        if has_events(folder) and (best := Run(folder).top(1)):
            scores = best[0].scores
        if not scores and value != value:
            return record.failed("No trial has a result.", RunFailed.exit_code)
        return record.ended(value, scores)

    def _show_traceback(self, error: Exception) -> None:
        if self.wants_traceback:
            sys.stderr.write(masker.traceback(error))


def _failed(record: MemberRecord, error: Exception) -> MemberRecord:
    if isinstance(error, RunnerError):
        return record.failed(str(error), error.exit_code)
    return record.failed(f"{one_line(error)}{place(error)}", RunFailed.exit_code)


def show_failure(member: MemberRecord) -> None:
    """Says that a member failed, and why."""
    progress.fail(f"{member.title} failed: {member.why}")


def _arrived(sweep: SweepFolder, driver: Process, wants_traceback: bool) -> SweepMember:
    """Returns what a launcher has sent here, when configs can be composed here."""
    launch.register_resolvers()
    return SweepMember(sweep, driver, wants_traceback)


@contextmanager
def _written_to(path: Path) -> Iterator[None]:
    """Writes to a file what this process, and those that it starts, would print."""
    silence.spoken.end()
    kept = [os.dup(1), os.dup(2)]
    try:
        with path.open("ab") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        yield
    finally:
        for stream, before in zip((1, 2), kept, strict=True):
            (sys.stdout, sys.stderr)[stream - 1].flush()
            os.dup2(before, stream)
            os.close(before)
