"""Worker processes: whatever a trial does to them, it costs that trial only."""

import os
import signal
import subprocess
import sys
import textwrap
import time

from processes import alive
from searches import ARITHMETIC, NET, NOTHING, trouble
from services import make_service

from runner.engines.py import PyEngine
from runner.training.leftovers import descendants
from runner.trial import Setup, Trial


def test_no_worker_outlives_a_killed_driver(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from searches import *
        Search(Path({str(tmp_path / "run")!r})).run(
            4, service="local", workers=2,
            evaluator={trouble("hang_in_c", tmp_path, width=1)!r}, strategy="grid")
    """)
    driver = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while len([*(tmp_path / "run").glob("trials/*")]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    pids = descendants(driver.pid)
    assert len(pids) >= 2
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def test_a_worker_that_dies_before_its_job_has_begun_costs_no_trial(tmp_path):
    """Such as by a signal that an earlier trial had sent."""
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), tmp_path)
    engine = PyEngine(space=NET, trust=["toy"])
    service = make_service("local", setup, {"retries": 0})
    ended = {}

    def hear(report):
        if report.kind in ("finished", "failed"):
            ended[report.trial] = report.kind

    def run(number):
        [job] = engine.plan([Trial(number, engine.space.default(), 1)])
        service.submit(job)
        while number not in ended or service._workers[0].job is not None:
            service.poll(hear, 0.1)

    try:
        run(0)
        worker = service._workers[0]
        os.kill(worker.process.pid, signal.SIGUSR1)  # which Python does not handle
        run(1)
        assert service._workers[0] is not worker
    finally:
        service.close()
    assert ended == {0: "finished", 1: "finished"}
    [note] = service.notes()
    assert note.startswith("1 worker was replaced because of what trials left behind: trial 0 (")
    assert "SIGUSR1" in note
