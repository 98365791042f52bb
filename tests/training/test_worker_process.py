"""What a driver hears of its workers: reports, whether they load data, and what trials left."""

from among import ENDS
from searches import ARITHMETIC
from services import make_service

from runner.engines.py import PyEngine
from runner.trial import Setup, Trial

SLOW = {"_target_": "toy.SlowData", "shape": [1], "classes": 2, "seconds": 0.0}


def reports_of(folder, seconds, **limits):
    """The reports of trials that need data which takes so long to load, one after another."""
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, SLOW | {"seconds": seconds[0]},
                  ("data.seconds",), ("toy",), folder)  # fmt: skip
    service = make_service("local", setup, limits)
    engine = PyEngine(space={"_target_": "toy.Net"}, trust=["toy"])
    reports = []
    for number, wait in enumerate(seconds):
        sample = {**engine.space.default(), "data.seconds": wait}
        [job] = engine.plan([Trial(number, sample, seed=number)])
        service.submit(job)
        while sum(report.kind in ENDS for report in reports) <= number:
            service.poll(reports.append, 0.2)
    service.close()
    return reports


def ends(reports):
    return [(r.trial, r.kind) for r in reports if r.kind in ENDS]


def test_loading_the_data_does_not_count_as_a_stall(tmp_path):
    """Neither that of a new worker, nor that of a job that needs other data."""
    reports = reports_of(tmp_path, [6.0, 7.0], stall_timeout=4.0, retries=0)
    assert ends(reports) == [(0, "finished"), (1, "finished")]


def test_loading_the_data_counts_for_the_limit_of_a_trial(tmp_path):
    reports = reports_of(tmp_path, [0.0, 600.0], trial_timeout=20.0, retries=0)
    assert ends(reports) == [(0, "finished"), (1, "failed")]
    assert reports[-1].failure.reason == "timed out"
