"""What a logger is told is what the record says, in its order, from its beginning."""

import pytest
from logging_toys import Diary, record_some, told
from records import CONFIG

from runner.goals import Goals, Objective
from runner.log_process import RecordTail, Teller
from runner.store import Store

GOALS = Goals((Objective("val/accuracy", "max"),))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "outputs" / "day" / "time", GOALS) as store:
        store.begin(CONFIG)
        yield store


def test_a_logger_is_told_each_event_once_while_they_are_written(store, tmp_path):
    teller = Teller(Diary(file=str(tmp_path / "diary"), at="", how=""), store.folder)
    [begin] = told(tmp_path / "diary")
    assert begin[0] == "begin" and begin[2] == "day_time" and len(begin[1]) == 8
    record_some(store)
    assert [*teller.catch_up()] and not [*teller.catch_up()]
    lines = told(tmp_path / "diary")[1:]
    assert [line for line in lines if line[1] == 0] == [
        ["start", 0, {"x": 0, "name": "a/b"}],
        ["report", 0, 1, {"val/accuracy": 0.1, "loss": 1.0}],
        ["report", 0, 2, {"val/accuracy": 0.2, "loss": 0.5}],
        ["report", 0, 2, {"test/accuracy": 0.25}],
        ["end", 0, "finished", {"val/accuracy": 0.2, "loss": 0.5, "test/accuracy": 0.25}],
    ]
    assert [line[0] for line in lines if line[1] == 1] == ["end"], "it never ran"
    assert [line[0] for line in lines if line[1] == 2] == ["end"], "it shares a result"
    assert [line[0] for line in lines if line[1] == 3] == [
        "start", "report", "report", "start", "report", "end"]  # fmt: skip
    assert lines[-1][:3] == ["end", 2, "finished"]


def test_a_run_that_is_continued_is_told_from_its_beginning_and_under_the_same_name(
    store, tmp_path
):
    record_some(store)
    for name in ("a", "b"):
        teller = Teller(Diary(file=str(tmp_path / name), at="", how=""), store.folder)
        assert [*teller.catch_up()][-1] == 22
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_many_events_are_read_in_parts(store, monkeypatch):
    monkeypatch.setattr("runner.log_process.MANY", 4)
    record_some(store)
    assert len([*RecordTail(store.folder).news()]) == 22
    for count in (11, 22):  # a whole number of parts
        monkeypatch.setattr("runner.log_process.MANY", count)
        tail = RecordTail(store.folder)
        assert len([*tail.news()]) == 22 and not [*tail.news()]


def test_the_record_is_a_single_file_once_it_is_closed(tmp_path):
    with Store(tmp_path, GOALS) as store:
        store.begin(CONFIG)
        tail = RecordTail(tmp_path)
        record_some(store)
        events = tail.news()
        next(events)  # a slow logger
    assert sorted(p.name for p in tmp_path.glob("run.db*")) == ["run.db"]
