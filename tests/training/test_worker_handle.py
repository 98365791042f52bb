"""When the reports of a worker were made, by a clock that is not that of its driver."""

import json
import math
import time

import pytest

from runner.training.worker_handle import WorkerHandle
from runner.trial import Failure, Job

DAY = 86400.0
JOB = Job([0], [1], [{}], [{}])


class Said(WorkerHandle):
    """A worker that has said some reports, made at some seconds of its own clock."""

    origin, gone = None, False

    def __init__(self, *times: object) -> None:
        super().__init__("cpu")
        self.times = times

    def say(self, message) -> None:
        self.job = self.job or message

    def terminate(self) -> None:
        raise NotImplementedError

    kill = terminate

    def death(self) -> Failure:
        raise NotImplementedError

    def _give_up(self, why: str) -> None:
        raise AssertionError(why)

    def _lines(self):
        plain = {"trial": 0, "kind": "metrics", "metrics": {}, "failure": None, "gain": None}
        for at in self.times:
            yield json.dumps(plain if at is None else plain | {"at": at}).encode()
        self.times = ()


def heard(worker: Said, *times: object) -> list[float]:
    worker.times = times
    return [report.ago for report in worker.hear()]


@pytest.mark.parametrize("ahead", [0.0, DAY, -DAY])
def test_a_report_that_is_heard_late_is_as_old_as_it_is_by_the_clock_of_its_worker(ahead):
    worker = Said()
    worker.run(JOB, 0)
    worker.started -= 100  # it began a while ago
    then = time.monotonic() + ahead
    assert heard(worker, then) == [0.0]
    [late, early] = heard(worker, then - 30, then - 10)
    assert 30 <= late <= 30 + time.monotonic() + ahead - then
    assert late - early == pytest.approx(20, abs=1)


@pytest.mark.parametrize("at", [None, "x", 5, True, math.nan, math.inf, -math.inf, -1e300, 1e300])
def test_no_report_is_from_the_future_or_older_than_its_job(at):
    worker = Said()
    worker.run(JOB, 0)
    assert heard(worker, time.monotonic()) == [0.0]
    [ago] = heard(worker, at)
    assert 0.0 <= ago <= time.monotonic() - worker.started


@pytest.mark.parametrize("ago", [None, "x", True, math.nan, math.inf, -1.0, 1e300, [1.0]])
def test_a_worker_may_say_that_a_trial_started_long_ago_and_nothing_odd(ago):
    worker = Said()
    worker.run(JOB, 0)
    plain = {"trial": 0, "kind": "started", "metrics": {}, "failure": None, "gain": None}
    worker._lines = lambda: (json.dumps(plain | {"ago": given}).encode() for given in (50.0, ago))
    assert [report.ago for report in worker.hear()] == [50.0, 0.0]


def test_each_job_has_a_first_report_of_its_own():
    worker = Said()
    worker.run(JOB, 0)
    assert heard(worker, 1000.0) == [0.0]
    worker.run(JOB, 0)
    assert heard(worker, 5.0) == [0.0]
