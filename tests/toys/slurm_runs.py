"""Runs of training code that notes when it is called, by drivers that are killed."""

import json
import subprocess
import sys
import textwrap
import time
from collections import Counter

from runner.training.pilot import FOLDER, PILOTS

OWN = ["space=mlp", "strategy=random", "evaluator=function", "evaluator.fn._target_=slow.train",
       "trust=[slow]", "export.top=0", "report=null"]  # fmt: skip
SLOW = """
    import time
    from pathlib import Path
    def train(model, report, data, seed, trial, checkpoint):
        with Path({log!r}).open("a") as file:
            file.write(f"{{trial.number}}\\n")
        done = checkpoint.load() or {{"step": 0}}
        for step in range(done["step"], 4):
            time.sleep({pause})
            report({{"val/accuracy": ((seed + step) % 1000) / 1000}})
            checkpoint.save({{"step": step + 1}})
            with (trial.folder / "steps.txt").open("a") as file:
                file.write(f"{{step}} ")
"""
DRIVER = """
    import sys
    sys.path[:0] = {path!r}
    import runner
    runner.run({overrides!r}, {folder!r})
"""


def write_slow(here, pause, monkeypatch):
    """Writes a module with training code of four steps, each with such a pause; returns the file
    that lists the trials that it was called for."""
    code = SLOW.format(log=str(here / "started.txt"), pause=pause)
    (here / "slow.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(here)
    return here / "started.txt"


def started(path):
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def until(holds, seconds=300):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


def messages(folder):
    """What the pilots of a run have sent."""
    paths = sorted((folder / FOLDER / PILOTS).glob("*/outbox.*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def pids(folder):
    """The processes of pilots that have begun."""
    return [message["pid"] for message in messages(folder) if "began" in message]


def killed_driver(folder, overrides, holds):
    """Starts a driver in a process of its own, and kills it once something holds."""
    code = textwrap.dedent(DRIVER.format(path=sys.path, overrides=overrides, folder=str(folder)))
    driver = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code])
    try:
        until(lambda: holds() or driver.poll() is not None)
        assert driver.poll() is None
    finally:
        driver.kill()
        driver.wait()
