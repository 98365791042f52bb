"""The host of a worker: its supervisor on a machine that need not be that of the driver.

It imports no torch. The worker is a process of its own, as on the driver's machine, so whatever a
trial does to it, the host can tell of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, final

from runner.training.fork_server import ForkServer
from runner.training.leftovers import end_all, marked
from runner.training.scratch import Scratch
from runner.training.trial_files import MIDWAY, Files, Seal, TrialFiles
from runner.training.worker_process import WorkerProcess
from runner.trial import ENDS, Job, Setup

WEIGHTS_OF_RUN = "initial.safetensors"  # those that models start from, in the copied folder


@final
@dataclass(frozen=True)
class Parcel:
    """What a host has heard of its worker: lines, and files of trials that belong to them."""

    lines: tuple[bytes, ...] = ()
    files: Files = field(default_factory=dict)
    death: Mapping[str, Any] | None = None  # the failure, once the worker has ended


@final
class WorkerHost:
    """A worker process and the files of its trials.

    Where the folder of the run is not visible, the worker has a folder of its own, of the same
    name; files get there with the jobs that read them, and back with the reports.
    """

    def __init__(
        self,
        setup: Mapping[str, Any],
        seal: Seal,
        devices: Sequence[str],
        threads: int,
        weights: bytes | None,
        is_woken: bool = False,
    ) -> None:
        """Each trial uses all `devices`. `weights` is the content of the file that models start
        from, if there is one and the folder of the run may not be visible here. If the host
        `is_woken`, it goes on soon after it was stopped."""
        self._devices, self._threads, self._is_woken = devices, threads, is_woken
        self._setup = Setup.from_json(setup)
        self.sees_folder = seal.is_visible()
        self._own = Scratch()
        self._shared = Scratch(seal.text)  # with the other workers of this machine
        self._setup = replace(self._setup, shared_data=self._shared.folder)
        if not self.sees_folder:
            folder = self._own.folder / self._setup.folder.name
            folder.mkdir()
            self._setup = replace(self._setup, folder=folder)
            if weights is not None:
                path = self._own.folder / WEIGHTS_OF_RUN
                path.write_bytes(weights)
                self._setup = replace(self._setup, initial_weights=str(path))
        self._files = TrialFiles(self._setup.folder)
        self._trials: set[int] = set()  # of the job
        self._read: set[int] = set()  # these, and others whose files the job reads
        self._server = self._served() if ForkServer.is_possible() else None
        self._worker = self._started()

    def _served(self) -> ForkServer:
        return ForkServer(self._threads, wakes_parent=self._is_woken)

    def _started(self) -> WorkerProcess:
        return WorkerProcess(self._setup, self._devices, self._threads, self._server)

    @property
    def reports(self) -> int:
        """A file descriptor, readable once there is something to hear."""
        return self._worker.reports

    def say(self, message: Mapping[str, Any], files: Files) -> None:
        """Passes a message on to the worker, with files that it needs."""
        if "trials" in message:
            self._leave_job()
            job = Job(**message)
            self._trials, self._read = {*job.trials}, job.reads
        self._files.unpack(files, self._read)
        self._worker.say(message)

    def hear(self) -> Parcel:
        """Returns what there is to hear, without waiting."""
        gone = self._worker.gone  # read first, so that all its reports are received
        lines = (*self._worker.lines(),)
        whole: set[int] = set()  # trials all of whose files are sent
        for message in map(_parsed, lines):
            if "pid" in message or "ended" in message:
                self._worker.told(message)
            elif message.get("kind") in ENDS:
                whole.add(message["trial"])
            elif "left" in message:  # it wrote the last of what trials had printed
                whole |= self._trials
        if gone:
            whole |= self._trials
        files: Files = {}
        if not self.sees_folder and (lines or gone):
            whole |= self._files.changed(self._trials, MIDWAY)
            files = self._files.pack(whole & self._trials)
        return Parcel(lines, files, asdict(self._worker.death()) if gone else None)

    def terminate(self) -> None:
        self._worker.terminate()

    def kill(self) -> None:
        self._worker.kill()

    def look(self, now: float) -> None:
        """Looks from time to time whether the worker is alive."""
        self._worker.look(now)
        if self._server is not None:
            self._server.look(now)

    def restart(self) -> None:
        """Replaces the worker by a new one."""
        self._end_worker()
        self._leave_job()
        if self._server is not None and not self._server.is_alive:
            self._server.close()
            self._server = self._served()
        self._worker = self._started()

    def close(self) -> None:
        """Ends the worker with all that it started, and deletes what it had for itself."""
        self._end_worker()
        if self._server is not None:
            self._server.close()
        self._own.close()
        self._shared.close()

    def _end_worker(self) -> None:
        self._worker.close()
        end_all(marked([self._worker.mark]))

    def _leave_job(self) -> None:
        """Deletes what a job has left in a folder that nobody else sees."""
        if not self.sees_folder:
            self._files = TrialFiles(self._setup.folder)
            self._files.delete(self._read)
        self._trials, self._read = set(), set()


def _parsed(line: bytes) -> Mapping[str, Any]:
    """Returns a message of the worker; nothing for one that its driver is to judge."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
