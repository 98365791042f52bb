"""The views of a record show by hand what the program reads from its events."""

import json
import math
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import CONFIG, WHOLE, configured, write

from runner.errors import RunFailed
from runner.goals import Goals, Objective
from runner.record_views import VIEWS
from runner.store import RECORD, Store, read
from runner.trial import Proposal

ONE = [{"metric": "val/accuracy", "mode": "max"}]
TWO = [{"metric": "val/accuracy", "mode": "min"}, {"metric": 'a "quoted": NaN', "mode": "max"}]
NAMES = ["val/accuracy", 'a "quoted": NaN', "läng/st€", "$.metrics", ""]
NUMBERS = st.one_of(
    st.floats(), st.integers(-(2**60), 2**60), st.sampled_from([math.nan, math.inf, -math.inf, 0.1])
)
METRICS = st.dictionaries(st.sampled_from(NAMES), NUMBERS, max_size=4)
SAMPLES = st.dictionaries(
    st.sampled_from(["depth", 'l"a/b', "'; drop table events --"]),
    st.one_of(st.booleans(), st.none(), st.text(max_size=5), st.lists(st.integers(0, 9))),
)  # fmt: skip
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=9)  # SQLite ends texts at NUL
REPORTS = st.lists(METRICS, max_size=3)
ENDS = st.one_of(
    st.none(),
    st.tuples(st.just("finished"), METRICS),
    st.tuples(st.just("stopped"), METRICS),
    st.tuples(st.just("failed"), st.fixed_dictionaries(
        {"reason": st.sampled_from(["error", "refused"]), "text": TEXTS},
        optional={"metrics": METRICS})),
)  # fmt: skip
TRIALS = st.lists(st.tuples(SAMPLES, REPORTS, REPORTS, st.booleans(), ENDS), max_size=5)


def rows(folder: Path, query: str) -> list[dict[str, object]]:
    db = sqlite3.connect(folder / RECORD)
    db.row_factory = sqlite3.Row
    found = [dict(row) for row in db.execute(query)]
    db.close()
    return found


def same(ours: object, theirs: object) -> bool:
    """Whether two numbers are equal, up to how SQLite prints them. It has no NaN."""
    if ours is None or theirs is None:
        return (ours is None or math.isnan(ours)) and (theirs is None or math.isnan(theirs))
    return ours == theirs or math.isclose(ours, theirs, rel_tol=1e-14)


def figures(found: dict[str, float], trial: dict[str, float]) -> bool:
    return found.keys() == trial.keys() and all(same(found[k], trial[k]) for k in found)


@settings(max_examples=60)
@given(plan=TRIALS, objective=st.sampled_from([ONE, TWO]))
def test_the_views_show_what_the_events_say(plan, objective):
    goals = Goals(tuple(Objective(**one) for one in objective))
    folder = Path(tempfile.mkdtemp())
    with Store(folder, goals) as store:
        store.begin({**CONFIG, "objective": objective if len(objective) > 1 else objective[0]})
        for number, (sample, before, after, again, end) in enumerate(plan):
            store.propose(Proposal(sample, parent=number - 1 if number else None), 7, "k", None)
            store.record(number, "started", {})
            for metrics in before:
                store.record(number, "metrics", metrics)
            if again:
                store.record(number, "started", {})
                for metrics in after:
                    store.record(number, "metrics", metrics)
            if end is not None:
                store.record(number, *end)
    trials = read(folder, goals).trials
    shown = rows(folder, "select * from trials")
    assert [row["number"] for row in shown] == [trial.number for trial in trials]
    for row, trial in zip(shown, trials, strict=True):
        assert (row["state"], row["stage"], row["seed"]) == (trial.state, "search", 7)
        assert json.loads(row["sample"]) == trial.sample and row["parent"] == trial.parent
        assert figures(json.loads(row["metrics"]), trial.metrics)
        assert same(row["score"], trial.score)
        assert (row["seconds"], row["ended_at"]) == (trial.seconds, trial.ended_at)
        assert row["reason"] == (trial.failure and trial.failure.reason)
        assert row["error"] == (trial.failure and trial.failure.text)
        last = {}
        for one in rows(folder, f"select * from metrics where trial = {trial.number}"):
            assert 0 <= one["step"] <= trial.step and one["time"] >= trial.started_at
            last[one["name"]] = one["value"]
        assert figures(last, trial.metrics)
    shutil.rmtree(folder)


def test_a_curve_has_a_row_for_each_epoch_and_name(tmp_path):
    goals = Goals((Objective("acc", "max"),))
    with Store(tmp_path, goals) as store:
        store.begin({"objective": {"metric": "acc", "mode": "max"}})
        store.propose(Proposal({"x": 1}), 1, "k", None)
        store.record(0, "started", {})
        for value in (0.1, math.nan, math.inf):
            store.record(0, "metrics", {"acc": value, "loss": 1})
    found = rows(tmp_path, "select step, name, value from metrics")
    assert [tuple(row.values()) for row in found] == [
        (1, "acc", 0.1), (1, "loss", 1), (2, "acc", None), (2, "loss", 1),
        (3, "acc", math.inf), (3, "loss", 1),
    ]  # fmt: skip
    [trial] = rows(tmp_path, "select state, score, metrics from trials")
    assert trial["state"] == "running" and trial["score"] is None
    assert json.loads(trial["metrics"]) == {"acc": math.inf, "loss": 1}


def test_a_duplicate_names_its_first_trial(tmp_path):
    with Store(tmp_path, Goals((Objective("acc", "max"),))) as store:
        store.begin({"objective": {"metric": "acc", "mode": "max"}})
        for first in (None, 0):
            store.propose(Proposal({"x": 1}, stage="baseline"), 1, "k", first)
        store.record(0, "started", {})
        store.end_as(1, store.record(0, "finished", {"acc": 0.5}))
    found = rows(tmp_path, "select number, duplicate_of, stage, score, seconds is null as unrun "
                           "from trials")  # fmt: skip
    assert [tuple(row.values()) for row in found] == [
        (0, None, "baseline", 0.5, 0), (1, 0, "baseline", 0.5, 1)]  # fmt: skip


def test_an_older_record_is_read_without_views_and_has_them_once_it_is_continued(tmp_path):
    write(tmp_path, *WHOLE)
    before = (tmp_path / RECORD).read_bytes()
    assert read(tmp_path).trials[0].score == 0.5
    assert (tmp_path / RECORD).read_bytes() == before, "reading adds nothing"
    goals = Goals((Objective("val/accuracy", "max"),))
    for _ in range(2):
        with Store(tmp_path, goals) as store:
            list(store.replay())
        assert rows(tmp_path, "select score from trials") == [{"score": 0.5}]
        assert read(tmp_path).trials[0].score == 0.5


@pytest.mark.parametrize("change", [
    ["drop view trials", VIEWS["trials"].replace("coalesce", "COALESCE", 1)],
    ["drop view metrics", "create view metrics as select load_extension('x') as trial"],
    ["drop view metrics", "create table metrics (trial)"],
    ["create view more as select 1"],
    ["drop view metrics", VIEWS["metrics"].replace("VIEW metrics", "VIEW figures")],
    ["drop view metrics", "create trigger metrics instead of insert on trials begin select 1; end"],
])  # fmt: skip
def test_a_view_that_is_not_ours_to_the_letter_is_refused(change, tmp_path):
    write(tmp_path, *WHOLE)
    with Store(tmp_path, Goals((Objective("val/accuracy", "max"),))) as store:
        list(store.replay())
    db = sqlite3.connect(tmp_path / RECORD)
    for statement in change:
        db.execute(statement)
    db.commit()
    db.close()
    with pytest.raises(RunFailed, match="not a record of this runner") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("event", [
    configured(objective={"metric": "val/accuracy", "mode": "max"}, search={"lr": [math.nan]}),
    configured(search={"lr": math.inf}),
])  # fmt: skip
def test_numbers_that_json_does_not_have_do_not_hide_the_rest(event, tmp_path):
    write(tmp_path, event, *WHOLE[1:])
    with Store(tmp_path, Goals((Objective("val/accuracy", "max"),))) as store:
        list(store.replay())
    [row] = rows(tmp_path, "select state, metrics from trials")
    assert row == {"state": "finished", "metrics": '{"val/accuracy":0.5}'}
