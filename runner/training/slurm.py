"""Training in jobs of a Slurm cluster: pilots, each of which runs trials one after another."""

import contextlib
import json
import logging
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from filelock import FileLock, Timeout

from runner.another_process import search_path
from runner.errors import ConfigError, RunFailed, as_yaml
from runner.training.batch_queue import (
    BatchQueue,
    LocalQueue,
    NotSubmitted,
    Request,
    SlurmQueue,
    check_request,
    device_of,
)
from runner.training.pilot import (
    BEGIN,
    DRIVER,
    FOLDER,
    LOCK,
    PILOTS,
    TIME,
    dismiss,
    next_life,
    outbox,
)
from runner.training.pilot_worker import Past, PilotWorker, digest
from runner.training.service import Limits
from runner.training.shipping import found_of
from runner.training.trial_files import Seal
from runner.training.worker_pool import STILLBORN, Handle, WorkerPool
from runner.trial import CHECKPOINT, STATE, Failure, Job, Report, Setup, trial_folder
from runner.whole_files import write_whole

JOB = "job"  # in the folder of a pilot: the id of its job
LOGS = "jobs"  # the folder of what submitit writes, logs among it
WEIGHTS = "initial.safetensors"  # those that models start from, where the nodes see them
QUICK, SLOW = 0.005, 0.1  # seconds between two looks at what pilots send
BEAT = 5.0  # seconds between two signs of life
LOOKS = {"slurm": 15.0, "local": 1.0}  # seconds between two looks at the queue
SILENT = 180.0  # seconds without a sign of life of a pilot, after which it is given up
WORD, WORDS = 60.0, 600.0  # seconds to the first word on waiting, and between others
AGAIN = 60.0  # seconds until jobs that were refused are submitted again
REQUEUES = 10  # times that a trial may lose its job without a word, before it is to blame
NEVER = ("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints",
         "InvalidAccount", "InvalidQOS")  # fmt: skip
ID = re.compile(r"\d+(_\d+)?")
log = logging.getLogger(__name__)


@final
@dataclass
class Post:
    """A job of the queue, and its pilot."""

    folder: Path
    job: str  # its id
    life: int = 0  # of the pilot, the next one to begin
    worker: PilotWorker | None = None  # None: the job is waiting
    state: str = "it was just submitted"
    missed: int = 0  # looks at the queue in which it was not there


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
        extra: Mapping[str, Any],
        device: str,
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
        self._request, self._number, self._trials = request, workers, trials_per_job
        self._interval = LOOKS[cluster]
        self._root = setup.folder.resolve() / FOLDER
        (self._root / PILOTS).mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._root)
        kind = SlurmQueue if cluster == "slurm" else LocalQueue
        self._queue: BatchQueue = kind(self._root / LOGS, request)
        self._posts: list[Post] = []
        self._found: list[tuple[Post, Past]] = []  # at the start, with what there is to be heard
        self._unbegun = 0  # jobs in a row that ended before they began to work
        self._cuts: dict[int, object] = {}  # trials that ran out of time -> where they stood
        self._lost: dict[int, int] = {}  # how often trials lost their jobs without a word
        self._sign = uuid.uuid4().hex
        self._beaten = self._looked = self._refused = float("-inf")
        self._word, self._since = WORD, _now()  # without a worker
        self._wait_between = QUICK
        self._seal = Seal.of(self._root)
        try:
            is_same = self._write_begin(device_of(device, gpus), threads)
            self._find(is_same)
            self._beat(_now())
            self._grow()
        except NotSubmitted as error:
            self.close()
            raise ConfigError(f"Slurm does not take the jobs of this run: {error}") from error
        except BaseException:
            self.close()
            raise

    def _write_begin(self, device: str, threads: int) -> bool:
        """Writes what workers need to begin. Returns whether an earlier driver wrote the same."""
        setup = self.setup
        if setup.initial_weights is not None:
            copy = self._root / WEIGHTS
            shutil.copyfile(setup.initial_weights, copy)
            setup = replace(setup, initial_weights=str(copy))
        path = self._root / BEGIN
        found = {"setup": setup.to_json(), "device": device, "threads": threads}
        text = json.dumps(found, sort_keys=True)
        before = {}
        with contextlib.suppress(OSError, ValueError):
            before = json.loads(path.read_text(encoding="utf-8"))
        needed = found_of(setup.trust)
        here = {"seal": vars(self._seal), "path": search_path(), "needed": needed}
        write_whole(path, json.dumps(json.loads(text) | here))
        return all(before.get(name) == value for name, value in json.loads(text).items())

    @property
    def slots(self) -> int:
        return max(1, sum(not worker.is_over for worker in self._workers))

    def close(self) -> None:
        for post in self._posts:
            if post.worker is not None:
                post.worker.dismiss()
            else:
                dismiss(post.folder)
        self._queue.close([post.job for post in self._posts])
        self._posts.clear()
        self._workers.clear()
        self._waiting.clear()
        self._found.clear()
        self._seal.remove()
        if not self._lock.is_locked:  # it was closed before
            return
        shutil.rmtree(self._root / PILOTS, ignore_errors=True)
        for name in (BEGIN, DRIVER, WEIGHTS):
            (self._root / name).unlink(missing_ok=True)
        self._lock.release()

    # Pilots that an earlier driver has left

    def _find(self, is_same: bool) -> None:
        """Finds pilots, and what they have to say if it is of the same setup."""
        folders = [path for path in (self._root / PILOTS).iterdir() if path.is_dir()]
        states = self._queue.states() if folders else {}
        for folder in sorted(folders):
            job = _job_of(folder)
            post = Post(folder, job, next_life(folder))
            past = Past(is_over=True)
            if post.life:
                worker = PilotWorker(folder, post.life - 1)
                past = Past.of(worker.messages())
                post.worker = worker
            is_there = states is None or job in states
            if not is_there:
                past.is_over = True
            if not is_same:
                past.done.clear()
                past.current = ""
            if job and is_there:
                self._posts.append(post)
            elif job == "":
                dismiss(folder)
            self._found.append((post, past))

    def _dispatch(self) -> None:
        """Until the first reports are heard, jobs are only given to the pilots that had them."""
        for waiting in [*self._waiting] if self._found else ():
            if any(self._claim(waiting[0], post, past) for post, past in self._found):
                self._waiting.remove(waiting)
        if not self._found:
            super()._dispatch()

    def _claim(self, job: Job, post: Post, past: Past) -> bool:
        """Goes on with a job that a pilot has, or had. Returns False if it is another one."""
        worker, key = post.worker, digest(job)
        if worker is None:
            return False
        if key in past.done:
            self._workers.append(PilotWorker.of_past(worker, job, past.done.pop(key)))
            return True
        if key != past.current or past.is_over or worker in self._workers:
            return False
        worker.adopt(job, past.lines)
        self._workers.append(worker)
        return True

    def _settle(self) -> None:
        """Frees the pilots whose jobs were not submitted again; trials of these jobs run on the
        same pilots, which end what they are doing first."""
        for post, past in self._found:
            worker = post.worker
            if worker is None or worker in self._workers:
                continue
            if past.is_over or post not in self._posts:
                post.worker = None
                continue
            self._replace(worker)
            others = [w for w in self._waiting if {*w[0].trials} & {*past.trials}]
            if others and post.worker is not None:
                self._waiting.remove(others[0])
                post.worker.run(*others[0])
        self._found.clear()

    # Workers

    def _wait(self, seconds: float) -> None:
        if self._found:
            self._settle()
            super()._dispatch()
        deadline = _now() + seconds
        while True:
            news = [worker.receive() for worker in self._workers]
            if self._welcome() or any(news):
                self._wait_between = QUICK
                return
            left = deadline - _now()
            if left <= 0:
                return
            time.sleep(min(self._wait_between, left))
            self._wait_between = min(2 * self._wait_between, SLOW)

    def _welcome(self) -> bool:
        """Adds the workers of pilots that have begun. Returns whether there are any."""
        begun = [post for post in self._posts if outbox(post.folder, post.life).exists()]
        for post in begun:
            if post.worker is not None and not post.worker.is_over:
                post.worker.interrupt("its job was requeued")
            post.worker = PilotWorker(post.folder, post.life)
            post.life, post.missed = post.life + 1, 0
            self._workers.append(post.worker)
            self._unbegun = 0
        return bool(begun)

    def _replace(self, worker: PilotWorker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
        post = self._post_of(worker)
        if post is None:
            return
        if not worker.is_over:
            post.worker = worker.successor(renewed=bool(self._found))
            self._workers.append(post.worker)
            return
        post.worker = None
        if not worker.interrupted:
            self._give_up(post)

    def _post_of(self, worker: PilotWorker) -> Post | None:
        return next((post for post in self._posts if post.worker is worker), None)

    def _give_up(self, post: Post) -> None:
        self._queue.cancel([post.job])
        self._posts.remove(post)

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
            if (failure := self._blamed(trial, worker.interrupted)) is not None:
                worker.open.discard(trial)
                handle(Report(trial, "failed", failure=failure))
        whole = worker.open == {*job.trials}
        parts = [job] if whole else job.alone(worker.open)
        self._waiting[:0] = [(part, attempt) for part in parts]

    def _blamed(self, trial: int, why: str) -> Failure | None:
        """Returns the failure of a trial that would be interrupted again and again."""
        if why == TIME:
            stands = _stand(trial_folder(self.setup.folder, trial))
            if trial in self._cuts and self._cuts[trial] == stands:
                return Failure(
                    "timed out",
                    f"it takes longer than a Slurm job has ({self._request.minutes} minutes, "
                    "training.time); evaluator.checkpoint would let it go on in the next one",
                )
            self._cuts[trial] = stands
        self._lost[trial] = self._lost.get(trial, 0) + (why not in (TIME, "preempted"))
        if self._lost[trial] > REQUEUES:
            return Failure("crashed", f"it lost its Slurm job {REQUEUES} times ({why})")
        return None

    # Jobs

    def _look(self, now: float) -> None:
        self._beat(now)
        for worker in [*self._workers]:
            if worker.takes_jobs and worker.is_spent(self._trials):
                self._retire(worker)
        if now < self._looked + self._interval:
            return
        self._looked = now
        self._see(now)
        self._grow_again(now)
        self._speak(now)

    def _beat(self, now: float) -> None:
        """Gives a sign of life from time to time."""
        if now >= self._beaten + BEAT:
            self._beaten = now
            write_whole(self._root / DRIVER, f"{self._sign} {now}")

    def _retire(self, worker: PilotWorker) -> None:
        """Lets a pilot end; another is queued in its place."""
        worker.dismiss()
        self._workers.remove(worker)
        if (post := self._post_of(worker)) is not None:
            self._posts.remove(post)
        self._grow_again(_now())

    def _see(self, now: float) -> None:
        """Looks at the queue. A job that is not there any more, twice, has ended."""
        if (states := self._queue.states()) is None:
            return
        for post in [*self._posts]:
            post.missed = 0 if post.job in states else post.missed + 1
            post.state = states.get(post.job, "it has ended")
            worker = post.worker
            if post.missed > 1:
                self._posts.remove(post)
                if worker is not None and not worker.is_over:
                    worker.lose(f"its Slurm job {post.job} has ended")
                elif worker is None and not next_life(post.folder):
                    self._count_unbegun(post)
            elif worker is not None and post.state.startswith("SUSPENDED"):
                worker.beaten = now
            elif worker is not None and now > worker.beaten + SILENT:
                worker.lose(f"nothing was heard of it for {SILENT:.0f} s")

    def _count_unbegun(self, post: Post) -> None:
        """Raises RunFailed if too many jobs in a row have ended before they began to work."""
        self._unbegun += 1
        if self._unbegun <= STILLBORN:
            return
        path = self._root / LOGS / f"{post.job}_0_log.err"
        lines = [""]
        with contextlib.suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it has no log")
        raise RunFailed(
            f"{self._unbegun} Slurm jobs ended before they began to work; the last of them, "
            f"{post.job}: {last[:300]}. The nodes must see {path.parent} and this Python."
        )

    def _grow(self) -> None:
        """Submits as many jobs as there should be more. Raises NotSubmitted."""
        missing = self._number - len(self._posts)
        if missing <= 0:
            return
        folders = [self._root / PILOTS / uuid.uuid4().hex[:12] for _ in range(missing)]
        for folder in folders:
            folder.mkdir()
        for folder, job in zip(folders, self._queue.submit(folders, self._request), strict=True):
            write_whole(folder / JOB, job)
            self._posts.append(Post(folder, job))

    def _grow_again(self, now: float) -> None:
        """Submits more jobs, unless they were refused a moment ago. Raises RunFailed if there is
        none left."""
        if now < self._refused + AGAIN:
            return
        try:
            self._grow()
        except NotSubmitted as error:
            self._refused = now
            if not self._posts and not self._workers:
                raise RunFailed(f"Slurm takes no more jobs of this run: {error}") from error
            log.warning("Slurm takes no more jobs of this run for now: %s", error)

    def _speak(self, now: float) -> None:
        """Says what is waited for, rarely. Raises RunFailed if it will never come."""
        if self._workers or not self._posts:
            self._since, self._word = now, WORD
            return
        post = self._posts[0]
        if any(reason in post.state for reason in NEVER):
            raise RunFailed(
                f"Slurm will never start the job {post.job} ({post.state}): it asks for more than "
                "its partition has or allows; see training.time, cpus, gpus, memory, partition, "
                "account and extra."
            )
        if now > self._since + self._word:
            self._word += WORDS
            log.warning("Waiting for Slurm to start one of %d jobs (%s: %s).", len(self._posts),
                        post.job, post.state)  # fmt: skip


def _now() -> float:
    return time.monotonic()


def _locked(root: Path) -> FileLock:
    """Returns the lock of a folder of jobs. Raises ConfigError if another driver has it."""
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(
            f"The jobs in {root} are those of another driver of this run, which has not ended."
        ) from error
    return lock


def _stand(folder: Path) -> object:
    """Returns what changes as the training in a folder gets on, if it can go on elsewhere."""

    def stats() -> Iterator[tuple[int, int]]:
        for name in (CHECKPOINT, STATE):
            with contextlib.suppress(OSError):
                found = (folder / name).stat()
                yield found.st_mtime_ns, found.st_size

    return [*stats()]


def _job_of(folder: Path) -> str:
    """Returns the id of a pilot's job; "" if it is not known whether it was submitted."""
    try:
        text = (folder / JOB).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return text if ID.fullmatch(text) else ""
