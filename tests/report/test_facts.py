"""What a report shows of a run is what its record says."""

import json

import pytest
from records import BEGUN, PROPOSED, changed, configured
from reported import HOSTILE, hostile_events, pair, searched

from runner.learning_curves import learning_curves
from runner.report import facts as module
from runner.report.facts import RunFacts
from runner.store import read

ROW = ("number", "state", "reason", "text", "remark", "proposed", "seconds", "epochs", "metrics",
       "values", "compared", "seed", "deviations", "repeat")  # fmt: skip


def facts_of(folder, **more):
    return RunFacts(folder, read(folder), learning_curves(folder), **more)


def rows(data):
    return [dict(zip(ROW, row, strict=True)) for row in data["trials"]]


def test_every_trial_is_there_with_all_its_values(make):
    folder = make(*searched(20))
    record, data = read(folder), facts_of(folder).data()
    for trial, row in zip(record.trials, rows(data), strict=True):
        assert row["number"] == trial.number
        assert row["state"] == trial.state.value
        named = dict(zip(data["metrics"], row["metrics"], strict=True))
        known = {name: value for name, value in named.items() if value is not None}
        assert known == pytest.approx(dict(trial.metrics), rel=1e-5)
        sample = {
            choice["label"]: choice["values"][place]
            for choice, place in zip(data["choices"], row["values"], strict=True) if place >= 0
        }  # fmt: skip
        written = {k: v if isinstance(v, str) else json.dumps(v) for k, v in trial.sample.items()}
        assert sample == written
    failed = next(row for row in rows(data) if row["state"] == "failed")
    assert data["texts"][failed["reason"]] == "error"
    assert data["texts"][failed["text"]] == "ValueError: no"


def test_objectives_come_first_and_the_best_are_ranked(make):
    data = facts_of(make(*searched(20))).data()
    assert data["metrics"][:2] == ["val/accuracy", "params"]
    assert data["objectives"] == [{"metric": 0, "mode": "max"}, {"metric": 1, "mode": "min"}]
    assert {*data["front"]} <= {*data["best"]}
    by_number = {row["number"]: row for row in rows(data)}
    assert all(by_number[number]["compared"] for number in data["best"])


def test_the_best_so_far_only_gets_better(make):
    scores = [0.5, 0.4, 0.7, 0.7, 0.6, 0.9]
    events = [event for i, score in enumerate(scores) for event in pair(i, score, {"a": i})]
    facts = facts_of(make(BEGUN, *events))
    assert [(place, trial.number) for place, trial in facts.improvements] == [
        (1, 0),
        (3, 2),
        (6, 5),
    ]


def test_curves_are_those_of_the_record(make):
    folder = make(*searched(9))
    data = facts_of(folder).data()["curves"]
    assert data["metrics"] == ["val/accuracy", "val/loss"]
    for number, points in learning_curves(folder).items():
        if points:
            told = data["trials"][str(number)]
            for name, curve in zip(data["metrics"], told, strict=True):
                assert curve == pytest.approx([p.metrics[name] for p in points], rel=1e-5)


def test_the_curves_of_the_best_have_room_first(make, monkeypatch):
    monkeypatch.setattr(module, "VALUES", 12)  # of two trials
    facts = facts_of(make(*searched(20)))
    assert [*facts.curves] == [trial.number for trial in facts.best[:2]]


def test_shared_results_repeats_and_rungs_are_remarked(make):
    second = {"sample": {"a": 1}, "seed": 0, "key": "0", "duplicate_of": 0}
    again = {**second, "duplicate_of": None, "repeat_of": 0, "stage": "confirm"}
    events = [
        BEGUN, *pair(0, 0.5, {"a": 1}), ("proposed", 1, {**second, "parent": 0}),
        ("finished", 1, {"val/accuracy": 0.5}), ("proposed", 2, again),
        ("proposed", 3, {**second, "duplicate_of": None, "stage": "baseline", "random": True}),
    ]  # fmt: skip
    remarks = [row["remark"] for row in rows(facts_of(make(*events)).data())]
    assert remarks == [
        "",
        "result of trial 0, from trial 0",
        "confirms trial 0",
        "random, to compare",
    ]


def test_test_metrics_join_those_of_their_trial(make):
    facts = facts_of(make(*searched(9)), tested={facts_best(make): {"test/accuracy": 0.5}})
    data = facts.data()
    place = data["metrics"].index("test/accuracy")
    assert [row["number"] for row in rows(data) if row["metrics"][place] is not None] == [
        facts.best[0].number
    ]


def facts_best(make):
    return facts_of(make(*searched(9), name="same")).best[0].number


def test_a_run_that_has_just_begun_has_no_trials(make):
    for events in ([BEGUN], [BEGUN, PROPOSED], [configured(fidelity=None), PROPOSED]):
        facts = facts_of(make(*events, name=f"run{len(events)}{events[0] is BEGUN}"))
        assert facts.best == facts.results == facts.improvements == []
        json.dumps(facts.data(), allow_nan=False)


def test_figures_that_are_not_finite_are_kept_by_name(make):
    odd = ("finished", 0, '{"val/accuracy": NaN, "loss": Infinity}')
    [row] = rows(facts_of(make(BEGUN, PROPOSED, ("started", 0, {}), odd)).data())
    assert row["metrics"] == ["nan", "inf"]
    assert row["compared"] == 0


def test_hostile_text_is_clean_wherever_it_stands(make):
    data = facts_of(make(*hostile_events()), tested={0: {HOSTILE: 1.0}}).data()

    def strings(value):
        match value:
            case str():
                yield value
            case list():
                for item in value:
                    yield from strings(item)
            case dict():
                for key, item in value.items():
                    yield from strings([key, item])

    assert all(text.isprintable() for text in strings(data))
    assert sum("\\u202e" in text for text in strings(data)) > 10


def test_texts_of_failures_are_whole(make):
    failed = ("failed", 0, {"reason": "error", "text": "long " * 1000})
    data = facts_of(make(BEGUN, changed(PROPOSED, seed=3), ("started", 0, {}), failed)).data()
    assert "long " * 1000 in data["texts"]


def trained(number, score, *, sample=None, **more):
    """The events of a trial, with more of its proposal."""
    proposed, *rest = pair(number, score, sample or {"a": number})
    return [changed(proposed, **more), *rest]


def confirmed_events():
    return [
        BEGUN, *trained(0, 0.8), *trained(1, 0.9), *trained(2, 0.85),
        *trained(3, 0.7, sample={"a": 1}, repeat_of=1),
        *trained(4, 0.83, sample={"a": 2}, repeat_of=2),
    ]  # fmt: skip


def test_the_trainings_of_a_sample_are_one_result(make):
    facts = facts_of(make(*confirmed_events()))
    data = facts.data()
    assert [trial.number for trial in facts.results] == [0, 1, 2]
    assert data["best"] == [2, 0, 1], "0.84, 0.8 and 0.8"
    assert [(place, trial.number) for place, trial in facts.improvements] == [(1, 0), (3, 2)]
    first, second, third, *repeats = rows(data)
    assert [row["compared"] for row in rows(data)] == [1, 1, 1, 0, 0]
    assert (first["metrics"], first["deviations"]) == ([0.8], [])
    assert (second["metrics"], second["deviations"]) == ([0.8], [pytest.approx(0.141421)])
    assert third["remark"] == "figures of 2 trainings"
    assert [row["remark"] for row in repeats] == ["repeats trial 1", "repeats trial 2"]
    assert [row["metrics"] for row in repeats] == [[0.7], [0.83]]
    assert [row["repeat"] for row in rows(data)] == [0, 0, 0, 1, 1]


def test_a_sample_of_which_a_training_failed_is_no_result(make):
    proposed, started, _ = trained(1, 0.7, sample={"a": 0}, repeat_of=0)
    failed = ("failed", 1, {"reason": "error", "text": "no"})
    facts = facts_of(make(BEGUN, *trained(0, 0.8), proposed, started, failed))
    assert facts.results == facts.best == []
    assert rows(facts.data())[0]["remark"] == "no result: a repeat has none"


def test_only_confirmed_samples_are_the_best_once_there_are_some(make):
    new = {"stage": "confirm", "sample": {"a": 0}, "repeat_of": 0}
    events = [BEGUN, *trained(0, 0.8), *trained(1, 0.9), *trained(2, 0.6, **new)]
    facts = facts_of(make(*events))
    assert facts.has_confirmed
    assert facts.best[0].number == 0
    assert [(place, trial.scores) for place, trial in facts.improvements] == [(1, (0.6,))]
    assert rows(facts.data())[0]["remark"] == "figures of 1 new training"


RUNGS = {"key": "evaluator.epochs", "min": 1, "max": 4, "eta": 2}


def rung(number, epochs, reports, *, parent=None, a=0):
    """The events of a trial of a search with rungs, which reports so often."""
    sample = {"a": a, "evaluator.epochs": epochs}
    told = {"sample": sample, "seed": 0, "key": str(number), "duplicate_of": None, "parent": parent}
    steps = [("metrics", number, {"val/accuracy": 0.5 + i / 100}) for i in range(reports)]
    return [("proposed", number, told), ("started", number, {}), *steps, ("finished", number, {})]


def test_a_curve_begins_where_the_parent_of_its_trial_ended(make):
    events = [
        configured(fidelity=RUNGS), *rung(0, 1, 1), *rung(1, 2, 1, parent=0),
        *rung(2, 4, 2, parent=1), *rung(3, 4, 4, parent=1), *rung(4, 2, 1, parent=0, a=1),
        *rung(5, 1, 1, parent=2),
    ]  # fmt: skip
    data = facts_of(make(*events)).data()["curves"]
    assert data["begins"] == {"1": 1, "2": 2}, "3 began anew, 4 is another model"
