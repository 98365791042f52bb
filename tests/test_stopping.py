"""Early stopping in real searches: at once in the record, exactly, and once for each trial."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from searches import ARITHMETIC, GOALS, Grouped, Search, make_stopper

from runner.errors import RunFailed
from runner.ranking import top
from runner.stopping import Stopping
from runner.store import RECORD
from runner.trial import State, Trial, trial_folder
from runner.weight_keeper import WeightKeeper

SIX = ARITHMETIC | {"epochs": 6}
SERVICES = ["inline", "local"]


def outcome(trials):
    """What must be equal between two runs: all but the times."""
    return [(t.number, t.sample, t.seed, str(t.state), t.step, dict(t.metrics), t.scores,
             t.duplicate_of, str(t.failure)) for t in trials]  # fmt: skip


def run(search, trials=12, *, stopper="asha", evaluator=SIX, **given):
    return search.run(trials, stopper=stopper, evaluator=evaluator, **given)


def kinds(folder: Path, number: int) -> list[str]:
    """The events of a trial."""
    db = sqlite3.connect(folder / RECORD)
    rows = db.execute("select kind from events where trial = ? order by id", (number,)).fetchall()
    db.close()
    return [kind for [kind] in rows]


def copy_of(whole: Search, part: Search, events: int) -> Search:
    """A search whose record has only the first events, as a kill just behind them leaves it."""
    part.folder.mkdir()
    (part.folder / RECORD).write_bytes((whole.folder / RECORD).read_bytes())
    db = sqlite3.connect(part.folder / RECORD)
    db.execute("delete from events where id > ?", (events,))
    db.commit()
    db.close()
    return part


def events(folder: Path) -> int:
    db = sqlite3.connect(folder / RECORD)
    [count] = db.execute("select count(*) from events").fetchone()
    db.close()
    return int(count)


@pytest.mark.parametrize("service", SERVICES)
def test_stopped_trials_keep_what_they_reported_and_are_not_compared(service, search):
    """Also if a quick worker had trained one to its end, and saved it, before it was told."""
    search.on_end = WeightKeeper(search.folder, None).see
    trials = run(search, service=service)
    stopped = [trial for trial in trials if trial.stopped]
    assert stopped and any(trial.scored for trial in trials)
    for trial in stopped:
        assert 1 <= trial.step < 6
        assert trial.metrics["val/accuracy"] > 0 and trial.scores == () and not trial.scored
        assert kinds(search.folder, trial.number) == [
            "proposed", "started", *["metrics"] * trial.step, "stopped"
        ]  # fmt: skip
        weights = trial_folder(search.folder, trial.number) / "weights.safetensors"
        assert not weights.exists(), "a stopped trial leaves no weights"
    assert not {trial.number for trial in top(trials, 99)} & {trial.number for trial in stopped}


def test_a_search_is_the_same_on_every_service_however_fast_a_worker_is_told(new_search):
    whole = outcome(run(new_search()))
    assert outcome(run(new_search(), service="local")) == whole
    slow = SIX | {"sleep": 0.02}
    assert outcome(run(new_search(), service="local", evaluator=slow)) == whole


@pytest.mark.parametrize(
    ("stopper", "changes", "strategy", "every"),
    [
        ("asha", {}, "random", 1),
        ("median", {"n_startup_trials": 2}, "tpe", 4),
        ("percentile", {"n_startup_trials": 2}, "evolution", 4),
    ],
)
def test_a_search_cut_at_any_event_goes_on_as_it_would_have(
    stopper, changes, strategy, every, new_search
):
    def run_of(search):
        made = make_stopper(stopper, **changes)
        return outcome(run(search, 7, stopper=made, strategy=strategy))

    whole = new_search()
    expected = run_of(whole)
    assert "stopped" in {line[3] for line in expected}
    for keep in range(1, events(whole.folder), every):
        part = copy_of(whole, new_search(), keep)
        assert run_of(part) == expected, f"cut behind event {keep}"


def test_a_group_cut_at_any_event_goes_on_as_it_would_have(new_search):
    """Members that were stopped stay so, and what others repeat is not judged again."""
    whole = new_search()
    expected = outcome(run(whole, 4, engine=Grouped))
    assert {"stopped", "finished"} == {line[3] for line in expected}
    for keep in range(5, events(whole.folder)):
        part = copy_of(whole, new_search(), keep)
        assert outcome(run(part, 4, engine=Grouped)) == expected, f"cut behind event {keep}"


@pytest.mark.parametrize("service", SERVICES)
def test_the_other_members_of_a_group_go_on_as_if_nothing_was_stopped(service, new_search):
    free = run(new_search(), 4, engine=Grouped, stopper="none", service=service)
    trials = run(new_search(), 4, engine=Grouped, service=service)
    assert {State.STOPPED, State.FINISHED} == {trial.state for trial in trials}
    for trial, other in zip(trials, free, strict=True):
        assert trial.stopped or outcome([trial]) == outcome([other])


def test_repeats_of_a_stopped_trial_share_its_fate(search):
    trials = run(search, 40, strategy="evolution", evaluator=SIX | {"sleep": 0.005},
                 service="local", workers=3)  # fmt: skip
    repeats = [t for t in trials if t.duplicate_of is not None]
    assert any(t.stopped for t in repeats)
    for trial in repeats:
        first = trials[trial.duplicate_of]
        assert (trial.state, trial.metrics) == (first.state, first.metrics)


def test_parallel_trials_are_stopped_too_and_the_budget_is_kept(search):
    trials = run(search, 15, service="local", workers=3, evaluator=SIX | {"sleep": 0.01})
    own = [trial for trial in trials if trial.duplicate_of is None]
    assert len(own) == 15 and {State.STOPPED, State.FINISHED} == {t.state for t in own}


def test_the_last_report_of_a_trial_stops_nothing_since_it_is_trained_then(search):
    trials = run(search, 8, evaluator=ARITHMETIC | {"epochs": 1})
    assert all(trial.scored for trial in trials)


def test_epochs_that_a_sample_chooses_are_its_own(search):
    choices = {"evaluator.epochs": [1, 3]}
    trials = search.run(12, stopper="asha", evaluator=SIX, search=choices)
    assert all(t.step < 3 and t.sample["evaluator.epochs"] == 3 for t in trials if t.stopped)
    assert any(t.stopped for t in trials)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["exit", "error"])
@pytest.mark.parametrize("engine", ["one by one", "group"])
def test_a_worker_that_is_lost_after_its_trial_was_stopped_ends_nothing_twice(
    kind, engine, search, tmp_path
):
    """The trial stays stopped, its slot is free again, and it is not run again."""
    late = {"_target_": "toy.LateTrouble", "kind": kind, "epochs": 4}
    given = {"engine": Grouped} if engine == "group" else {}
    trials = run(search, 8, evaluator=late, service="local", stopper=Worst(), **given)
    stopped = [trial for trial in trials if trial.stopped]
    assert stopped and {trial.sample["width"] for trial in stopped} == {1}
    assert all(trial.scored for trial in trials if trial not in stopped)
    for trial in stopped:
        assert kinds(search.folder, trial.number) == ["proposed", "started", "metrics", "stopped"]


class Worst:
    """Stops what reports 1.0: models of width 1."""

    objective, decides = GOALS.objectives[0], True

    def observe(self, trial):
        return

    def should_stop(self, trial):
        return trial.metrics["val/accuracy"] == 1.0


def test_the_end_of_a_stopped_trial_is_told_again_when_its_worker_has_finished(new_search):
    search = new_search()
    run(search, 8, service="local")
    stopped = [trial for trial in search.ended if trial.stopped]
    assert stopped
    assert all(search.ended.count(trial) == 2 for trial in stopped)


def test_a_trial_whose_stop_was_not_recorded_is_stopped_when_the_run_goes_on(new_search):
    whole = new_search()
    expected = outcome(run(whole, 6))
    number = next(line[0] for line in expected if line[3] == "stopped")
    db = sqlite3.connect(whole.folder / RECORD)
    [place] = db.execute(
        "select id from events where trial = ? and kind = 'stopped'", (number,)
    ).fetchone()
    db.close()
    part = copy_of(whole, new_search(), place - 1)
    assert outcome(run(part, 6)) == expected
    assert kinds(part.folder, number).count("started") == 1, "it is not trained again"


@pytest.mark.parametrize("method", ["observe", "should_stop"])
def test_a_stopper_that_raises_is_named_and_nothing_recorded_is_lost(method, search, monkeypatch):
    broken = make_stopper("asha")
    monkeypatch.setattr(type(broken), method, lambda *_: 1 // 0)
    with pytest.raises(RunFailed, match=r"OptunaStopper raised ZeroDivisionError.*resume="):
        run(search, stopper=broken)
    monkeypatch.undo()
    assert len([t for t in run(search, 6) if t.duplicate_of is None]) == 6


def test_a_trial_is_asked_about_between_its_first_report_and_its_last():
    stopping = Stopping(Always(), 3, "resume=run")
    trial = Trial(0, {}, seed=0)
    wanted = [stopping.wants_to_stop(replace(trial, step=step)) for step in range(4)]
    assert wanted == [False, True, True, False]
    stopping = Stopping(Always(), None, "resume=run")
    assert stopping.wants_to_stop(replace(trial, step=99))


class Always(Worst):
    def should_stop(self, trial):
        return True
