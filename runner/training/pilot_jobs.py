"""The jobs of a run in a batch queue: as many as there should be, and word of those that wait."""

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.errors import RunFailed
from runner.training.batch_queue import BatchQueue, NotSubmitted, Request
from runner.training.pilot import PILOTS, dismiss, next_life, outbox
from runner.training.pilot_worker import PilotWorker
from runner.training.worker_pool import STILLBORN
from runner.whole_files import write_whole

JOB = "job"  # in the folder of a pilot: the id of its job
LOGS = "jobs"  # the folder of what submitit writes, logs among it
SILENT = 180.0  # seconds without a sign of life of a pilot, after which it is given up
WORD, WORDS = 60.0, 600.0  # seconds to the first word on waiting, and between others
AGAIN = 60.0  # seconds until jobs that were refused are submitted again
NEVER = ("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints",
         "InvalidAccount", "InvalidQOS")  # fmt: skip
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

    def begin(self) -> PilotWorker:
        """Returns the worker of the life that its pilot has begun. The one before has ended."""
        if self.worker is not None and not self.worker.is_over:
            self.worker.interrupt("its job was requeued")
        self.worker = PilotWorker(self.folder, self.life)
        self.life, self.missed = self.life + 1, 0
        return self.worker


@final
class PilotJobs:
    """The jobs of a run, each of which is a pilot with one worker."""

    def __init__(
        self, root: Path, queue: BatchQueue, request: Request, number: int, interval: float
    ) -> None:
        """Keeps `number` jobs in the queue, at which it looks every `interval` seconds."""
        self._root, self._queue, self._request = root, queue, request
        self._number, self._interval = number, interval
        self.posts: list[Post] = []
        self._unbegun = 0  # jobs in a row that ended before they began to work
        self._looked = self._refused = float("-inf")
        self._word, self._since = WORD, time.monotonic()  # without a worker
        (root / PILOTS).mkdir(parents=True, exist_ok=True)

    def fill(self) -> None:
        """Submits as many jobs as there should be more. Raises NotSubmitted."""
        missing = self._number - len(self.posts)
        if missing <= 0:
            return
        folders = [self._root / PILOTS / uuid.uuid4().hex[:12] for _ in range(missing)]
        for folder in folders:
            folder.mkdir()
        for folder, job in zip(folders, self._queue.submit(folders, self._request), strict=True):
            write_whole(folder / JOB, job)
            self.posts.append(Post(folder, job))

    def refill(self, now: float, *, has_workers: bool) -> None:
        """Submits more jobs, unless they were refused a moment ago. Raises RunFailed if there is
        none left."""
        if now < self._refused + AGAIN:
            return
        try:
            self.fill()
        except NotSubmitted as error:
            self._refused = now
            if not self.posts and not has_workers:
                raise RunFailed(f"Slurm takes no more jobs of this run: {error}") from error
            log.warning("Slurm takes no more jobs of this run for now: %s", error)

    def look(self, now: float, *, has_workers: bool) -> None:
        """Looks from time to time at the queue: replaces jobs that have ended, and says what is
        waited for. Raises RunFailed if it will never come."""
        if now < self._looked + self._interval:
            return
        self._looked = now
        for post in self._seen():
            self._judge(post, now)
        self.refill(now, has_workers=has_workers)
        self._speak(now, has_workers=has_workers)

    def begun(self) -> list[PilotWorker]:
        """Returns the workers of pilots that have begun since the last call."""
        found = [post for post in self.posts if outbox(post.folder, post.life).exists()]
        if found:
            self._unbegun = 0
        return [post.begin() for post in found]

    def of(self, worker: PilotWorker) -> Post | None:
        """Returns the job of a worker, if it is still there."""
        return next((post for post in self.posts if post.worker is worker), None)

    def give_up(self, post: Post) -> None:
        """Cancels a job, to be replaced by another."""
        self._queue.cancel([post.job])
        self.posts.remove(post)

    def close(self) -> None:
        """Ends all jobs."""
        for post in self.posts:
            if post.worker is not None:
                post.worker.dismiss()
            else:
                dismiss(post.folder)
        self._queue.close([post.job for post in self.posts])
        self.posts.clear()

    def _seen(self) -> Iterator[Post]:
        """Yields the jobs with their present states; nothing if the queue does not answer."""
        if (states := self._queue.states()) is None:
            return
        for post in [*self.posts]:
            post.missed = 0 if post.job in states else post.missed + 1
            post.state = states.get(post.job, "it has ended")
            yield post

    def _judge(self, post: Post, now: float) -> None:
        """Gives up a job that was not there twice, or whose pilot is silent."""
        worker = post.worker
        if post.missed > 1:
            self.posts.remove(post)
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
        raise RunFailed(
            f"{self._unbegun} Slurm jobs ended before they began to work; the last of them, "
            f"{post.job}: {_last_line(path)}. The nodes must see {path.parent} and this Python."
        )

    def _speak(self, now: float, *, has_workers: bool) -> None:
        """Says what is waited for, rarely. Raises RunFailed if it will never come."""
        if has_workers or not self.posts:
            self._since, self._word = now, WORD
            return
        post = self.posts[0]
        if any(reason in post.state for reason in NEVER):
            raise RunFailed(
                f"Slurm will never start the job {post.job} ({post.state}): it asks for more than "
                "its partition has or allows; see training.time, cpus, gpus, memory, partition, "
                "account and extra."
            )
        if now > self._since + self._word:
            self._word += WORDS
            log.warning("Waiting for Slurm to start one of %d jobs (%s: %s).", len(self.posts),
                        post.job, post.state)  # fmt: skip


def _last_line(path: Path) -> str:
    """Returns the last line of a log that says something."""
    lines = [""]
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it has no log")
    return last[:300]
