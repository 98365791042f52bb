"""Training in jobs of a Slurm cluster: pilots, each of which runs trials one after another."""

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from filelock import FileLock

from runner.another_process import search_path
from runner.errors import ConfigError, as_yaml
from runner.held_lock import InUse, acquire
from runner.training.batch_queue import (
    LocalQueue,
    NotSubmitted,
    Request,
    SlurmQueue,
    check_request,
    devices_of,
)
from runner.training.found_pilots import FoundPilots
from runner.training.interruptions import Interruptions
from runner.training.pilot import BEGIN, DRIVER, FOLDER, HOLDER, LOCK, PILOTS
from runner.training.pilot_jobs import LOGS, PilotJobs
from runner.training.pilot_worker import PilotWorker
from runner.training.service import Limits
from runner.training.shipping import found_of
from runner.training.trial_files import Seal
from runner.training.worker_pool import Handle, WorkerPool
from runner.trial import Report, Setup
from runner.whole_files import write_whole

WEIGHTS = "initial.safetensors"  # those that models start from, where the nodes see them
QUICK, SLOW = 0.005, 0.1  # seconds between two looks at what pilots send
BEAT = 5.0  # seconds between two signs of life
LOOKS = {"slurm": 15.0, "local": 1.0}  # seconds between two looks at the queue


@final
class Slurm(WorkerPool[PilotWorker]):
    """A service of workers in jobs of a batch queue, with which it talks through files. A killed
    driver that is resumed goes on with the jobs that it finds."""

    def __init__(
        self,
        setup: Setup,
        *,
        cluster: str,
        partition: str | None,
        account: str | None,
        time: int,
        workers: int,
        trials_per_job: int | None,
        gpus: int,
        cpus: int,
        memory: float | None,
        shell: Sequence[str],
        extra: Mapping[str, Any] | None,
        device: str,
        devices_per_trial: int,
        threads: int,
        idle_minutes: float,
        retries: int,
        trial_timeout: float | None,
        stall_timeout: float | None,
        max_failures: int | None,
        fail_fast: bool,
    ) -> None:
        """Submits the first jobs, or finds those of an earlier driver. Raises ConfigError."""
        limits = Limits(retries, trial_timeout, stall_timeout, max_failures, fail_fast)
        super().__init__(setup, limits)
        request = Request(time, idle_minutes, partition, account, gpus, cpus, memory, shell, extra)
        check_request(request, workers, trials_per_job, threads, setup.folder)
        if cluster not in LOOKS:
            raise ConfigError(f"training.cluster is {as_yaml(cluster)}; it is slurm or local.")
        self._trials = trials_per_job
        self._root = setup.folder.resolve() / FOLDER
        self._root.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._root)
        kind = SlurmQueue if cluster == "slurm" else LocalQueue
        queue = kind(self._root / LOGS, request)
        self._jobs = PilotJobs(self._root, queue, request, workers, LOOKS[cluster])
        self._interruptions = Interruptions(setup.folder, time)
        self._sign, self._beaten = uuid.uuid4().hex, float("-inf")
        self._pause = QUICK
        self._seal = Seal.of(self._root)
        self._found: FoundPilots | None = None
        try:
            is_same = self._write_begin(devices_of(device, gpus, devices_per_trial), threads)
            self._found = FoundPilots(self._root, queue, is_same=is_same)
            self._jobs.posts += self._found.posts
            self._beat(_now())
            self._jobs.fill()
        except NotSubmitted as error:
            self.close()
            raise ConfigError(f"Slurm does not take the jobs of this run: {error}") from error
        except BaseException:
            self.close()
            raise

    def _write_begin(self, devices: Sequence[str], threads: int) -> bool:
        """Writes what workers need to begin. Returns whether an earlier driver wrote the same."""
        setup = self.setup
        if setup.initial_weights is not None:
            copy = self._root / WEIGHTS
            shutil.copyfile(setup.initial_weights, copy)
            setup = replace(setup, initial_weights=str(copy))
        path = self._root / BEGIN
        found = {"setup": setup.to_json(), "devices": devices, "threads": threads}
        text = json.dumps(found, sort_keys=True)
        before = {}
        with contextlib.suppress(OSError, ValueError):
            before = json.loads(path.read_text(encoding="utf-8"))
        needed = found_of(setup.trust)
        here = {"seal": vars(self._seal), "path": search_path(), "needed": needed}
        write_whole(path, json.dumps(json.loads(text) | here), is_private=True)  # secrets, too
        return all(before.get(name) == value for name, value in json.loads(text).items())

    @property
    def slots(self) -> int:
        return max(1, sum(not worker.is_over for worker in self._workers))

    def close(self) -> None:
        self._jobs.close()
        self._workers.clear()
        self._waiting.clear()
        self._found = None
        self._seal.remove()
        if not self._lock.is_locked:  # it was closed before
            return
        shutil.rmtree(self._root / PILOTS, ignore_errors=True)
        for name in (BEGIN, DRIVER, HOLDER, WEIGHTS):
            (self._root / name).unlink(missing_ok=True)
        self._lock.release()

    def _dispatch(self) -> None:
        """Until the first reports are heard, jobs are only given to the pilots that had them."""
        if self._found is None:
            super()._dispatch()
            return
        for waiting in [*self._waiting]:
            if (worker := self._found.claim(waiting[0])) is not None:
                self._workers.append(worker)
                self._waiting.remove(waiting)

    def _settle(self, found: FoundPilots) -> None:
        """Frees the pilots whose jobs were not submitted again; trials of these jobs run on the
        same pilots, which end what they are doing first."""
        for worker, trials in found.unclaimed():
            new = self._succeed(worker, renewed=True)
            others = [w for w in self._waiting if {*w[0].trials} & {*trials}]
            if others and new is not None:
                self._waiting.remove(others[0])
                new.run(*others[0])
        self._found = None
        super()._dispatch()

    def _wait(self, seconds: float) -> None:
        if self._found is not None:
            self._settle(self._found)
        deadline = _now() + seconds
        while True:
            news = [worker.receive() for worker in self._workers]
            begun = self._jobs.begun()
            self._workers += begun
            if begun or any(news):
                self._pause = QUICK
                return
            left = deadline - _now()
            if left <= 0:
                return
            time.sleep(min(self._pause, left))
            self._pause = min(2 * self._pause, SLOW)

    def _replace(self, worker: PilotWorker) -> None:
        self._succeed(worker, renewed=False)

    def _succeed(self, worker: PilotWorker, *, renewed: bool) -> PilotWorker | None:
        """Lets the pilot of a worker begin with another, and returns it; None if the pilot has
        ended, or has begun with another by itself."""
        if worker in self._workers:
            self._workers.remove(worker)
        post = self._jobs.of(worker)
        if post is None:
            return None
        if not worker.is_over:
            post.worker = worker.successor(renewed=renewed)
            self._workers.append(post.worker)
            return post.worker
        post.worker = None
        if not worker.interrupted:
            self._jobs.give_up(post)
        return None

    def _bury(self, worker: PilotWorker, handle: Handle) -> None:
        """Gives the job of an interrupted worker to the next one, as it was: that is no attempt."""
        if not worker.interrupted or worker.doomed is not None:
            super()._bury(worker, handle)
            return
        self._end_stopped(worker, handle)
        job, attempt = worker.job, worker.attempt
        self._replace(worker)
        if job is None or not worker.open:
            return
        for trial in sorted(worker.open):
            failure = self._interruptions.failure(trial, worker.interrupted)
            if failure is not None:
                worker.open.discard(trial)
                handle(Report(trial, "failed", failure=failure))
        whole = worker.open == {*job.trials}
        parts = [job] if whole else job.alone(worker.open)
        self._waiting[:0] = [(part, attempt) for part in parts]

    def _look(self, now: float) -> None:
        self._beat(now)
        for worker in [*self._workers]:
            if worker.takes_jobs and worker.is_spent(self._trials):
                self._retire(worker)
        self._jobs.look(now, has_workers=bool(self._workers))

    def _beat(self, now: float) -> None:
        """Gives a sign of life from time to time."""
        if now >= self._beaten + BEAT:
            self._beaten = now
            write_whole(self._root / DRIVER, f"{self._sign} {now}")

    def _retire(self, worker: PilotWorker) -> None:
        """Lets a pilot end; another is queued in its place."""
        worker.dismiss()
        self._workers.remove(worker)
        if (post := self._jobs.of(worker)) is not None:
            self._jobs.posts.remove(post)
        self._jobs.refill(_now(), has_workers=bool(self._workers))


def _now() -> float:
    return time.monotonic()


def _locked(root: Path) -> FileLock:
    """Returns the lock of a folder of jobs. Raises ConfigError if another driver has it."""
    try:
        return acquire(root / LOCK, root / HOLDER)
    except InUse as other:
        raise ConfigError(
            f"The jobs in {root} are those of another driver of this run{other}, which has not "
            "ended."
        ) from None
