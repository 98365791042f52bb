"""A logger may do what it likes: the search is told once, and never waits for long."""

import os
import time

import pytest
from logging_toys import METHODS, diary, record_some, told
from records import CONFIG

from runner import log_feed
from runner.goals import Goals, Objective
from runner.log_feed import LogFeed
from runner.loggers.logger import BestModel
from runner.store import Store

GOALS = Goals((Objective("val/accuracy", "max"),))
BEST = BestModel(0, {"val/accuracy": 0.2})


def fed(folder, *nodes, finish=True):
    """What the user was told by loggers of these nodes, of a small search."""
    said = []
    with Store(folder, GOALS) as store:
        nodes = {f"diary{i}": node for i, node in enumerate(nodes)}
        with LogFeed(nodes, ["logging_toys"], folder, said.append) as feed:
            store.begin(CONFIG)
            feed.begin()
            record_some(store)
            if finish:
                feed.finish(BEST)
    return said


def test_a_logger_is_told_all_and_what_was_found(tmp_path):
    top = tmp_path / "top" / "1"
    top.mkdir(parents=True)
    assert fed(tmp_path, diary(tmp_path / "a", "begin", "print")) == []
    lines = told(tmp_path / "a")
    assert lines[-2:] == [["finish", 0, {"val/accuracy": 0.2}, None], ["close"]]
    assert [line[0] for line in lines].count("end") == 5
    assert (tmp_path / "loggers" / "diary0.txt").read_text() == "noise\n"


def test_of_a_search_that_is_stopped_all_is_told_but_no_best_model(tmp_path):
    assert fed(tmp_path, diary(tmp_path / "a"), finish=False) == []
    names = [line[0] for line in told(tmp_path / "a")]
    assert "finish" not in names and names[-1] == "close" and names.count("end") == 5
    assert not (tmp_path / "loggers").exists(), "nothing was printed"


CASES = [("begin", how) for how in ("fail", "exit", "vanish", "crash", "interrupt", "import")]
CASES += [(at, "fail") for at in METHODS[1:]]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("at", "how"), CASES)
def test_a_logger_that_fails_is_told_of_once_and_another_goes_on(at, how, tmp_path):
    [said] = fed(tmp_path, diary(tmp_path / "a", at, how), diary(tmp_path / "b"))
    told_why = {"fail": "OSError", "exit": "SystemExit", "import": "no_such_module",
                "interrupt": "KeyboardInterrupt"}  # fmt: skip
    assert "The logger diary0" in said and told_why.get(how, "ended by itself") in said
    assert f"resume={tmp_path}" in said and "\n" not in said
    assert told(tmp_path / "a")[-1][0] == at, "it is told no more"
    assert told(tmp_path / "b")[-1] == ["close"]


def test_a_logger_that_cannot_be_built_in_its_process_is_told_of(tmp_path):
    [said] = fed(tmp_path, diary(tmp_path / "a", cls="Unbuilt"))
    assert "RuntimeError: not here" in said


def test_a_logger_that_hangs_holds_nothing_up_and_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(log_feed, "PATIENCE", 0.5)
    said = []
    with Store(tmp_path, GOALS) as store:
        node = diary(tmp_path / "a", "begin", "hang")
        with LogFeed({"slow": node}, ["logging_toys"], tmp_path, said.append) as feed:
            store.begin(CONFIG)
            feed.begin()
            while not (tmp_path / "a").exists():
                time.sleep(0.02)
            record_some(store)
            assert not said
            feed.finish(BEST)
            [process] = [one._process for one in feed._loggers]
    assert len(said) == 1 and "The logger slow was not done" in said[0]
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_logger_of_a_run_that_did_not_begin_does_nothing(tmp_path):
    said = []
    with LogFeed({"a": diary(tmp_path / "a")}, ["logging_toys"], tmp_path, said.append):
        pass
    assert not said and not [*tmp_path.iterdir()]


def test_a_logger_of_a_later_session_waits_for_that_of_an_earlier_one(tmp_path):
    """A search that was killed leaves a process that still tells what it finds in the record."""
    said, file = [], tmp_path / "diary"
    with Store(tmp_path, GOALS) as store:
        store.begin(CONFIG)
        record_some(store)
        slow, quick = ({"a": diary(file, "start", how)} for how in ("nap", "print"))
        with LogFeed(slow, ["logging_toys"], tmp_path, said.append) as earlier:
            earlier.begin()
            while not file.exists():
                time.sleep(0.02)
            with LogFeed(quick, ["logging_toys"], tmp_path, said.append) as later:
                later.begin()
                earlier.finish(BEST)
                later.finish(BEST)
    assert (tmp_path / "loggers" / "a.txt").read_text() == "noise\n" * 4
    names = [line[0] for line in told(file)]
    assert not said and names.count("close") == 2
    assert names.index("begin", 1) == names.index("close") + 1, "one after the other"
