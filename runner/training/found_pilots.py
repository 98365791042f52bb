"""Pilots that a killed driver has left, and the jobs that a resumed one goes on with."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from runner.training.batch_queue import BatchQueue
from runner.training.pilot import PILOTS, dismiss, next_life
from runner.training.pilot_jobs import JOB, Post
from runner.training.pilot_worker import Past, PilotWorker, digest
from runner.trial import Job

ID = re.compile(r"\d+(_\d+)?")


@final
class FoundPilots:
    """The pilots that were there when a driver began, each with what it had told an earlier one;
    empty once it is settled what they do now."""

    def __init__(self, root: Path, queue: BatchQueue, *, is_same: bool) -> None:
        """Looks for them. Only those of the same setup have anything to say: `is_same`."""
        folders = [path for path in (root / PILOTS).iterdir() if path.is_dir()]
        states = queue.states() if folders else {}
        self._pairs: list[tuple[Post, Past]] = []
        self._claimed: list[PilotWorker] = []
        self.posts: list[Post] = []  # those whose jobs are still there
        for folder in sorted(folders):
            post, past = Post(folder, _job_of(folder), next_life(folder)), Past(is_over=True)
            if post.life:
                post.worker = PilotWorker(folder, post.life - 1)
                past = Past.of(post.worker.messages())
            is_there = states is None or post.job in states
            past.is_over |= not is_there
            if not is_same:
                past.done.clear()
                past.current = ""
            if post.job and is_there:
                self.posts.append(post)
            elif post.job == "":
                dismiss(folder)
            self._pairs.append((post, past))

    def __len__(self) -> int:
        return len(self._pairs)

    def claim(self, job: Job) -> PilotWorker | None:
        """Returns the worker that goes on with a job, or that says what became of it; None if no
        pilot has it, or had it."""
        key = digest(job)
        for post, past in self._pairs:
            worker = post.worker
            if worker is None:
                continue
            if key in past.done:
                return PilotWorker.of_past(worker, job, past.done.pop(key))
            if key == past.current and not past.is_over and worker not in self._claimed:
                worker.adopt(job, past.lines)
                self._claimed.append(worker)
                return worker
        return None

    def unclaimed(self) -> Iterator[tuple[PilotWorker, Sequence[int]]]:
        """Yields the workers that nobody has claimed, with the trials that they are busy with."""
        for post, past in self._pairs:
            if post.worker is None or post.worker in self._claimed:
                continue
            if past.is_over or post not in self.posts:
                post.worker = None
                continue
            yield post.worker, past.trials

    def settle(self) -> None:
        """Forgets them: from now on they are pilots like others."""
        self._pairs.clear()
        self._claimed.clear()


def _job_of(folder: Path) -> str:
    """Returns the id of a pilot's job; "" if it is not known whether it was submitted."""
    try:
        text = (folder / JOB).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return text if ID.fullmatch(text) else ""
