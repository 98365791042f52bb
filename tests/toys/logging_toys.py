"""Loggers that write down what they are told, or misbehave."""

import ctypes
import json
import os
import sys
import time
from pathlib import Path

from runner.errors import ConfigError
from runner.loggers.logger import Logger
from runner.trial import Proposal

METHODS = ("begin", "start", "report", "end", "finish", "close")


class Diary(Logger):
    """Writes one line for each call; at the call of the name `at`, it does what `how` says."""

    def __init__(self, *, file: str, at: str, how: str) -> None:
        self.file = Path(file)
        self.at = at
        self.how = how

    def check(self) -> None:
        if self.how == "unfit":
            raise ConfigError("logger.diary is unfit.")

    def begin(self, run) -> None:
        self.note("begin", run.id, run.name, sorted(run.config))

    def start(self, trial) -> None:
        self.note("start", trial.number, trial.sample)

    def report(self, trial, metrics, time) -> None:
        self.note("report", trial.number, trial.step, dict(metrics))

    def end(self, trial) -> None:
        self.note("end", trial.number, str(trial.state), dict(trial.metrics))

    def finish(self, best) -> None:
        self.note("finish", best.trial, dict(best.metrics), best.folder and best.folder.name)

    def close(self) -> None:
        self.note("close")

    def note(self, name, *what) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps([name, *what]) + "\n")
        if name == self.at:
            MISDEEDS[self.how]()


def fail():
    raise OSError(28, "No space left on device")


def interrupt():
    raise KeyboardInterrupt


MISDEEDS = {
    "fail": fail,
    "exit": lambda: sys.exit(3),
    "vanish": lambda: os._exit(3),
    "crash": lambda: ctypes.string_at(0),
    "interrupt": interrupt,
    "import": lambda: __import__("no_such_module"),
    "hang": lambda: time.sleep(1000),
    "nap": lambda: time.sleep(0.4),
    "print": lambda: print("noise", flush=True),
}


class Unbuilt(Diary):
    """Cannot be built by its process, although it could before the search."""

    def __init__(self, *, file: str, at: str, how: str) -> None:
        super().__init__(file=file, at=at, how=how)
        if "runner.log_process" in sys.modules and "pytest" not in sys.modules:
            raise RuntimeError("not here")


def diary(file, at="", how="", cls="Diary"):
    """The config node of such a logger."""
    return {"_target_": f"logging_toys.{cls}", "file": str(file), "at": at, "how": how}


def told(file):
    """What a diary says."""
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def record_some(store, first=0):
    """Records trials: one that is trained, one refused, a duplicate, one that starts twice and
    fails, and one that is stopped."""
    proposals = [Proposal({"x": first, "name": "a/b"}), Proposal({"x": 1}), Proposal({"x": first}),
                 Proposal({"y": 0.5}), Proposal({"x": [1, 2]})]  # fmt: skip
    for i, proposal in enumerate(proposals):
        store.propose(proposal, i, str(i), 0 if i == 2 else None)
    store.record(1, "failed", {"reason": "refused", "text": "too large", "metrics": {"params": 9}})
    for number in (0, 3, 4):
        store.record(number, "started", {})
        for step in (1, 2):
            store.record(number, "metrics", {"val/accuracy": step / 10, "loss": 1 / step})
    store.record(3, "started", {})
    store.record(3, "metrics", {"val/accuracy": 0.1})
    store.record(3, "failed", {"reason": "error", "text": "no\nluck"})
    store.record(4, "stopped", {})
    store.end_as(2, store.record(0, "finished", {"test/accuracy": 0.25}))
