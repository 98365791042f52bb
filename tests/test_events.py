"""Events: an odd record, however well its checksums fit, is one clear line, and is not believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import (
    BEGUN,
    FINISHED,
    METRICS,
    PROPOSED,
    SAMPLE,
    STARTED,
    WHOLE,
    changed,
    configured,
    write,
)

import runner
from runner.errors import ConfigError, RunFailed
from runner.events import Event, EventOrder, OddEvent, parse_event
from runner.goals import Goals, Objective
from runner.store import Store, read

OTHER, NONE = "was written by another version of runner", "is not a record of this runner"
DEEP = json.loads("[" * 100 + "]" * 100)
ODD = {
    "no kind of ours": ([*WHOLE, ("paused", 0, {})], OTHER),
    "a kind that is a number": ([*WHOLE, (7, 0, {})], OTHER),
    "a newer version": ([changed(BEGUN, version=3)], OTHER),
    "an older version": ([changed(BEGUN, version=1)], OTHER),
    "no version": ([changed(BEGUN, version=...)], OTHER),
    "a version in words": ([changed(BEGUN, version="two")], OTHER),
    "a version that is true": ([changed(BEGUN, version=True)], OTHER),
    "an unknown key of the beginning": ([changed(BEGUN, host="x")], OTHER),
    "an unknown key of a proposal": ([BEGUN, changed(PROPOSED, mood="good")], OTHER),
    "a missing key of a proposal": ([BEGUN, changed(PROPOSED, seed=...)], OTHER),
    "no config": ([changed(BEGUN, config=...)], OTHER),
    "a config that is a list": ([changed(BEGUN, config=[1])], NONE),
    "a config that is text": ([changed(BEGUN, config="x")], NONE),
    "a config too deep": ([configured(search={"x": DEEP})], NONE),
    "nothing begun": ([PROPOSED], NONE),
    "begun twice": ([BEGUN, BEGUN], NONE),
    "begun late": ([PROPOSED, BEGUN], NONE),
    "resumed before it began": ([("resumed", None, {"config": BEGUN[2]["config"]})], NONE),
    "a beginning of a trial": ([("begun", 0, BEGUN[2])], NONE),
    "a proposal of no trial": ([BEGUN, ("proposed", None, PROPOSED[2])], NONE),
    "a trial in words": ([BEGUN, ("proposed", "zero", PROPOSED[2])], NONE),
    "a skipped number": ([BEGUN, ("proposed", 1, PROPOSED[2])], NONE),
    "a negative number": ([BEGUN, ("proposed", -1, PROPOSED[2])], NONE),
    "a huge number": ([BEGUN, ("proposed", 2**62, PROPOSED[2])], NONE),
    "proposed twice": ([BEGUN, PROPOSED, PROPOSED], NONE),
    "started without a proposal": ([BEGUN, STARTED], NONE),
    "an end before a start": ([BEGUN, PROPOSED, FINISHED], NONE),
    "metrics before a start": ([BEGUN, PROPOSED, METRICS], NONE),
    "metrics after the end": ([*WHOLE, METRICS], NONE),
    "ended twice": ([*WHOLE, FINISHED], NONE),
    "started after the end": ([*WHOLE, STARTED], NONE),
    "a duplicate of the future": ([BEGUN, changed(PROPOSED, duplicate_of=3)], NONE),
    "a duplicate of itself": ([BEGUN, changed(PROPOSED, duplicate_of=0)], NONE),
    "a child of the future": ([BEGUN, changed(PROPOSED, parent=3)], NONE),
    "a sample that is a list": ([BEGUN, changed(PROPOSED, sample=[1])], NONE),
    "a sample too deep": ([BEGUN, changed(PROPOSED, sample={"x": DEEP})], NONE),
    "a seed in words": ([BEGUN, changed(PROPOSED, seed="1")], NONE),
    "a negative seed": ([BEGUN, changed(PROPOSED, seed=-1)], NONE),
    "a huge seed": ([BEGUN, changed(PROPOSED, seed=10**30)], NONE),
    "a broken seed": ([BEGUN, changed(PROPOSED, seed=0.5)], NONE),
    "a key that is a number": ([BEGUN, changed(PROPOSED, key=1)], NONE),
    "data of a start": ([BEGUN, PROPOSED, changed(STARTED, x=1)], OTHER),
    "a metric in words": ([*WHOLE[:3], changed(METRICS, loss="low")], NONE),
    "a metric that is true": ([*WHOLE[:3], changed(METRICS, loss=True)], NONE),
    "a metric that is null": ([*WHOLE[:3], changed(METRICS, loss=None)], NONE),
    "a metric that is a list": ([*WHOLE[:3], changed(METRICS, loss=[1])], NONE),
    "a huge metric": ([*WHOLE[:3], changed(METRICS, loss=10**400)], NONE),
    "a failure without a reason": ([*WHOLE[:3], ("failed", 0, {"text": "x"})], OTHER),
    "a failure of numbers": ([*WHOLE[:3], ("failed", 0, {"reason": 1, "text": 2})], NONE),
    "a failure with more": (
        [*WHOLE[:3], ("failed", 0, {"reason": "a", "text": "b", "where": "c"})], OTHER),
    "a gain of no models": ([BEGUN, ("grouped", None, {})], OTHER),
    "a gain in words": ([BEGUN, ("grouped", None, {"models": "two"})], NONE),
    "a gain of a trial": ([*WHOLE, ("grouped", 0, {"models": 2})], NONE),
    "data that is no JSON": ([BEGUN, ("proposed", 0, "{")], NONE),
    "data that is a list": ([BEGUN, ("proposed", 0, "[1]")], NONE),
    "data that is null": ([BEGUN, ("proposed", 0, "null")], NONE),
    "no data": ([BEGUN, ("proposed", 0, None)], NONE),
    "data of bytes": ([BEGUN, ("proposed", 0, b"{}")], NONE),
    "data too deep to read": ([BEGUN, ("proposed", 0, "[" * 100_000)], NONE),
    "a number too long to read": ([*WHOLE[:3], ("metrics", 0, '{"a": 1' + "0" * 5000 + "}")], NONE),
    "no time": ([BEGUN, (*PROPOSED, None)], NONE),
    "a time in words": ([BEGUN, (*PROPOSED, "noon")], NONE),
    "a time before time": ([BEGUN, (*PROPOSED, -5.0)], NONE),
    "a time beyond all dates": ([BEGUN, (*PROPOSED, 1e300)], NONE),
    "an infinite time": ([BEGUN, (*PROPOSED, float("inf"))], NONE),
    "a config without a key": ([configured(budget=...)], OTHER),
    "a config with another key": ([configured(color="red")], OTHER),
    "a config with an inner key": ([configured(budget={"trials": 2, "minutes": 1, "x": 1})], OTHER),
    "a budget in words": ([configured(budget={"trials": "two", "minutes": None})], NONE),
    "a budget of nothing": ([configured(budget=7)], NONE),
    "an objective in words": ([configured(objective="best")], NONE),
    "an objective of another mode": ([configured(objective={"metric": "a", "mode": "up"})], NONE),
    "an objective of numbers": ([configured(objective={"metric": 1, "mode": "max"})], NONE),
    "no objective": ([configured(objective=...)], NONE),
    "a group that is text": ([configured(engine="py")], NONE),
    "a seed of the run in words": ([configured(seed="one")], NONE),
    "trust in words": ([configured(trust="toy")], NONE),
    "trust of numbers": ([configured(trust=[1])], NONE),
    "resumed with another config": ([*WHOLE, ("resumed", None, {"config": {}})], OTHER),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_record_is_one_clear_line(name, tmp_path):
    events, text = ODD[name]
    folder = write(tmp_path / "run", *events)
    before = (folder / "run.db").read_bytes()
    ways = [lambda: runner.load(folder).trials]
    if [*ODD].index(name) % 8 == 0:  # it reads as `load` does, after the config was composed
        ways += [lambda: runner.run([f"resume={folder}", "trust=[toy]"])]
    for use in ways:
        with pytest.raises(RunFailed, match=text) as caught:
            use()
        line = str(caught.value)
        assert "\n" not in line and len(line) < 600 and "damaged" not in line
        assert (folder / "run.db").read_bytes() == before


def test_the_writer_refuses_what_the_reader_refuses(tmp_path):
    write(tmp_path, *WHOLE, METRICS)
    with Store(tmp_path, Goals((Objective(),))) as store, pytest.raises(RunFailed, match=NONE):
        list(store.replay())


ODD_GROUPS = {
    "no target": {"engine": {}},
    "a target that is a number": {"space": {"_target_": 7}},
    "an argument that does not exist": {"engine": {"_target_": "runner.engines.py.PyEngine",
                                                   "speed": 9}},
    "mutators that are none": {"space": {"_target_": "toy.Net", "mutators": 5}},
    "an input that is none": {"space": {"_target_": "toy.Net", "input": "wide"}},
    "an engine that is no engine": {"engine": {"_target_": "torch.nn.ReLU"}},
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_GROUPS)
def test_an_odd_group_is_read_and_refused_in_one_line_where_it_would_be_built(name, tmp_path):
    folder = write(tmp_path / "run", configured(**ODD_GROUPS[name]), *WHOLE[1:])
    run = runner.load(folder, trust=["toy"])
    assert run.best.score == 0.5
    for use in (lambda: run.model(0), lambda: runner.run([f"resume={folder}", "trust=[toy]"])):
        with pytest.raises((ConfigError, RunFailed, runner.errors.RunnerError)) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_what_runs_record_is_not_odd(tmp_path):
    folder = write(
        tmp_path, BEGUN, PROPOSED, STARTED, METRICS, STARTED, changed(METRICS, loss=float("nan")),
        FINISHED, ("proposed", 1, {**PROPOSED[2], "duplicate_of": 0, "parent": 0}),
        ("finished", 1, {"val/accuracy": 1}), ("proposed", 2, PROPOSED[2]),
        ("failed", 2, {"reason": "refused", "text": "x"}), ("grouped", None, {"models": 2}),
        ("resumed", None, {"config": BEGUN[2]["config"]}),
    )  # fmt: skip
    assert [str(trial.state) for trial in read(folder).trials] == ["finished", "finished", "failed"]
    assert read(folder).trials[1].metrics == {"val/accuracy": 1}, "nothing is converted"
    assert read(folder).trials[0].sample == SAMPLE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    time=JSON, trial=st.none() | JSON, data=JSON.map(json.dumps) | JSON,
    kind=st.sampled_from(["begun", "resumed", "grouped", "proposed", "metrics", "failed"]) | JSON,
)  # fmt: skip
def test_any_row_is_an_event_or_odd(time, kind, trial, data):
    try:
        event = parse_event(time, kind, trial, data)
    except OddEvent as odd:
        assert "\n" not in str(odd)
    else:
        assert event.data == json.loads(data) or "NaN" in data


@pytest.mark.parametrize(
    ("second", "third"),
    [({"repeat_of": 1}, {}), ({"repeat_of": 5}, {}), ({"repeat_of": 0}, {"repeat_of": 1}),
     ({"repeat_of": 0, "duplicate_of": 0}, {})],
    ids=str,
)  # fmt: skip
def test_only_the_first_trial_of_a_sample_is_repeated(second, third):
    order = EventOrder()
    order.check(Event(0.0, "begun", None, {}))
    usual = {"duplicate_of": None}
    order.check(Event(1.0, "proposed", 0, usual))
    with pytest.raises(OddEvent, match="repeats"):
        order.check(Event(2.0, "proposed", 1, usual | second))
        order.check(Event(3.0, "proposed", 2, usual | third))
