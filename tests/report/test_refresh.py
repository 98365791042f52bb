"""A search keeps its report up to date, and a report that fails costs it nothing."""

import subprocess
import sys
import time

import pytest
from reported import searched

from runner.report import refresh as module
from runner.report.environment import ENVIRONMENT, noted_environment
from runner.report.refresh import ReportRefresh
from runner.report.write import REPORT
from runner.trial import Trial

LONG = 60.0  # seconds that a process may take here
TRIAL = Trial(number=0, sample={}, seed=0)


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    times = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[0])
    return times


def test_it_is_refreshed_by_another_process_from_time_to_time(make, told, clock):
    folder = make(*searched(12))
    report = ReportRefresh(folder, 30, told.append)
    report.begin()
    report.see(TRIAL)
    assert report._process is None, "not before its time"
    clock[0] += 30
    report.see(TRIAL)
    report._process.wait(LONG)
    assert ">running</span>" in (folder / REPORT).read_text(encoding="utf-8")
    clock[0] += 2  # what it took
    report.see(TRIAL)
    clock[0] += 2 * module.SPARSE - 1
    report.see(TRIAL)
    assert report._process is None, "it took long, so it is seldom done"
    clock[0] += 1
    report.see(TRIAL)
    assert report._process is not None
    report.end()
    assert told == []


def test_what_waits_for_a_refresh_hears_its_end(make, told, clock):
    folder = make(*searched(3))
    report = ReportRefresh(folder, 30, told.append)
    report.begin()
    report.wait()  # for nothing
    clock[0] += 30
    report.see(TRIAL)
    report.wait()
    assert report._process is None
    assert ">running</span>" in (folder / REPORT).read_text(encoding="utf-8")
    report.end()


def test_the_refresh_needs_no_torch():
    code = (
        "import sys, runner.report.write, runner.report.refresh; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_at_the_end_it_is_written_whole(make, told):
    folder = make(*searched(12))
    report = ReportRefresh(folder, 30, told.append)
    report.begin()
    assert report.write() == folder / REPORT
    assert ">running</span>" not in (folder / REPORT).read_text(encoding="utf-8")
    assert noted_environment(folder)
    (folder / REPORT).unlink()
    report.end()
    assert not (folder / REPORT).exists(), "once"


def test_an_interrupted_search_has_a_report_too(make, told):
    folder = make(*searched(12))
    report = ReportRefresh(folder, 30, told.append)
    report.begin()
    report.end()
    assert (folder / REPORT).exists()


def test_a_search_that_has_not_begun_has_none(tmp_path, told):
    report = ReportRefresh(tmp_path, 30, told.append)
    report.see(TRIAL)
    report.end()
    assert not [*tmp_path.iterdir()]
    assert told == []


def test_without_a_report_there_is_no_process_and_no_file(make, told, clock):
    folder = make(*searched(3))
    before = {path.name for path in folder.iterdir()}
    report = ReportRefresh(folder, None, told.append)
    report.begin()
    clock[0] += 1e6
    report.see(TRIAL)
    assert report._process is None
    assert report.write() is None
    report.end()
    assert {path.name for path in folder.iterdir()} == before | {ENVIRONMENT}


def test_a_failure_is_told_once(make, told, clock):
    folder = make(*searched(3))
    report = ReportRefresh(folder, 1, told.append)
    report.begin()
    (folder / "run.db").unlink()
    clock[0] += 1
    report.see(TRIAL)
    report._process.wait(LONG)
    for _ in range(3):
        clock[0] += 100
        report.see(TRIAL)
        assert report._process is None
    report.end()
    [sentence] = told
    assert sentence.startswith("The report was not written: There is no run in ")
    assert sentence.endswith("it has no run.db.")


def test_a_process_that_is_killed_is_told(make, told, clock):
    report = ReportRefresh(make(*searched(3)), 1, told.append)
    report.begin()
    clock[0] += 1
    report.see(TRIAL)
    report._process.kill()
    report._process.wait(LONG)
    report.see(TRIAL)
    assert told == ["The report was not written: its process ended with exit code -9."]
    report.end()


def test_the_end_does_not_wait_for_a_refresh_and_leaves_nothing_of_it(make, told, clock):
    folder = make(*searched(3))
    report = ReportRefresh(folder, 1, told.append)
    report.begin()
    clock[0] += 1
    report.see(TRIAL)
    (folder / f".{REPORT}-half").write_text("half")
    process = report._process
    report.end()
    assert process.returncode is not None
    assert not [*folder.glob(f".{REPORT}*")]
    assert (folder / REPORT).exists()


def test_an_error_of_ours_is_told_and_not_raised(make, told, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("nothing")

    monkeypatch.setattr("runner.report.write.write_report", broken)
    report = ReportRefresh(make(*searched(3)), 30, told.append)
    report.begin()
    assert report.write() is None
    assert told == ["The report was not written: ZeroDivisionError: nothing."]
