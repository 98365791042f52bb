"""Runs misbehaving training functions and honest ones in one service, one after another."""

import time
from dataclasses import dataclass, field

from services import make_service

from runner.engines.py import PyEngine
from runner.trial import Setup, Trial

KIND = "evaluator.fn.kind"
FUNCTION = {
    "_target_": "runner.evaluators.function.Function",
    "fn": {"_target_": "misbehaving.run", "_partial_": True, "kind": "honest"},
    "metric": "val/accuracy",
    "test_fn": None,
}
DATA = {"_target_": "misbehaving.Points", "shape": [2], "classes": 2}
HANG = 120.0  # seconds without a report
ENDS = ("finished", "stopped", "failed")


@dataclass
class Ended:
    """What became of a trial."""

    kind: str
    seed: int
    end: str = ""  # "": it hangs
    failure: str = ""
    reason: str = ""
    metrics: list = field(default_factory=list)


def run_kinds(name, folder, kinds, seeds, **limits):
    """The trials of these kinds in the order given, and the service, closed. Those that hang have
    no end, and neither have those behind them."""
    setup = Setup("runner.engines.py.PyEngine", FUNCTION, DATA, (KIND,),
                  ("toy", "misbehaving"), folder)  # fmt: skip
    service = make_service(name, setup, limits)
    trials = [Ended(kind, seed) for kind, seed in zip(kinds, seeds, strict=True)]
    engine = PyEngine(space={"_target_": "toy.Net"}, trust=["toy"])
    sample = engine.space.default()
    todo = list(enumerate(trials))
    running = set()
    heard_at = time.monotonic()

    def hear(report):
        nonlocal heard_at
        heard_at = time.monotonic()
        trial = trials[report.trial]
        if report.kind == "started":
            trial.metrics.clear()
        if report.kind == "metrics":
            trial.metrics.append(dict(report.metrics))
        if report.kind in ENDS:
            assert not trial.end, "a trial ends once"
            trial.end = report.kind
            running.discard(report.trial)
            if report.failure is not None:
                trial.failure, trial.reason = report.failure.text, report.failure.reason

    try:
        while (todo or running) and time.monotonic() < heard_at + HANG:
            while todo and len(running) < service.slots:
                number, trial = todo.pop(0)
                given = Trial(number, {**sample, KIND: trial.kind}, seed=trial.seed)
                running.add(number)
                service.submit(next(iter(engine.plan([given]))))
            service.poll(hear, 0.5)
    finally:
        service.close()
    return trials, service
