"""Searches that are shown by the loggers of this package, each in its own process."""

import math

import yaml
from logging_toys import record_some
from records import CONFIG

from runner.config.settings import conf_folder
from runner.goals import Goals, Objective
from runner.log_feed import LogFeed
from runner.loggers.logger import BestModel
from runner.store import Store
from runner.trial import Proposal

GOALS = Goals((Objective("val/accuracy", "max"),))
NAMES = sorted(path.stem for path in (conf_folder() / "logger").glob("*.yaml"))
EXTRAS = [name for name in NAMES if name != "csv"]
USUAL = {"wandb": {"mode": "offline"}}
HOSTILE = {
    "a/b": math.nan, "../../etc": math.inf, "/root": -math.inf, "": 1, ".": 2, "x" * 300: 3,
    "läng € \u202e\x00\n'\";--": 1e308, "<script>alert(1)</script>": 10**18, "a//b": 0.5,
}  # fmt: skip


def node(name, **changes):
    """The config node of a logger, with its usual values."""
    found = yaml.safe_load((conf_folder() / "logger" / f"{name}.yaml").read_text())
    return {**found, **USUAL.get(name, {}), **changes}


def show(name, run, write, *, before=False, **changes):
    """Runs a search's record past a logger, and returns what the user was told."""
    said = []
    with Store(run, GOALS) as store:
        if before:
            store.resume(CONFIG)
            [*store.replay()]
        with LogFeed({name: node(name, **changes)}, [], run, said.append) as feed:
            if not before:
                store.begin(CONFIG)
            feed.begin()
            best = write(store)
            feed.finish(best)
    return said


def search(store):
    """A search of a few trials, with a best model."""
    record_some(store)
    top = store.folder / "top" / "1"
    top.mkdir(parents=True)
    (top / "model.py").write_text("def build(): ...\n")
    return BestModel(0, {"val/accuracy": 0.2}, top)


def hostile(store):
    """Trials of odd names, odd numbers and many labels."""
    samples = [{f"block{i}/op": i % 3 for i in range(1000)}, {"=1+1": "=cmd()", "a\n\"'": None}]
    for number, sample in enumerate(samples):
        store.propose(Proposal(sample), 1, str(number), None)
        store.record(number, "started", {})
        store.record(number, "metrics", HOSTILE)
        store.record(number, "finished", {"val/accuracy": 0.5})
    return BestModel(0, HOSTILE)
