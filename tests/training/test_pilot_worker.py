"""A pilot that a driver finds: its reports are as old as they are, by a clock that is not ours."""

import json
import time

import pytest

from runner.training import pilot_worker
from runner.training.mailbox import Outgoing
from runner.training.pilot import outbox
from runner.training.pilot_worker import PilotWorker
from runner.trial import Job

JOB = Job([0], [1], [{}], [{}])
DAY = 86400.0


def line(kind: str, at: float) -> str:
    plain = {"trial": 0, "kind": kind, "metrics": {}, "failure": None, "gain": None}
    return json.dumps(plain | {"at": at})


@pytest.fixture
def worker(tmp_path):
    return PilotWorker(tmp_path, 0)


def test_what_a_pilot_said_waits_until_it_tells_its_time(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(pilot_worker, "CLOCK", 1e6)
    worker.adopt(JOB, ['"ready"', line("started", DAY), line("metrics", DAY + 10)])
    assert not worker.receive() and not [*worker.hear()]
    out = Outgoing(outbox(tmp_path, 0))
    out.send({"clock": DAY + 50})
    assert worker.receive()
    now = time.monotonic()
    assert now - worker.started == pytest.approx(50, abs=5), "for a limit on its time"
    assert [report.ago for report in worker.hear()] == pytest.approx([50, 40], abs=5)
    out.send({"said": line("finished", DAY + 50)})
    assert worker.receive()
    assert [report.ago for report in worker.hear()] == pytest.approx([0], abs=5)


def test_a_pilot_that_does_not_tell_its_time_is_not_waited_for(worker, monkeypatch):
    monkeypatch.setattr(pilot_worker, "CLOCK", 0.0)
    worker.adopt(JOB, [line("started", DAY), line("metrics", DAY + 10)])
    assert worker.receive()
    assert [report.ago for report in worker.hear()] == pytest.approx([10, 0], abs=5)


def test_a_trial_that_has_ended_took_as_long_as_it_did(worker):
    said = ['"ready"', line("started", DAY), line("finished", DAY + 100)]
    past = PilotWorker.of_past(worker, JOB, said)
    assert past.receive()
    assert [report.ago for report in past.hear()] == pytest.approx([100, 0], abs=5)


@pytest.mark.parametrize("said", [[], ["no message"], ['{"at": NaN}'], ['{"at": -Infinity}']])
def test_without_times_its_job_begins_now(said, worker):
    worker.adopt(JOB, said)
    assert worker.started == worker.heard and not worker._holds
