"""The record: nothing is lost, nothing is doubled, and nothing damaged is believed."""

import shutil
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import ConfigError, RunFailed
from runner.goals import Goals, Objective
from runner.store import RECORD, Store, last_event, read, read_config, trial_events
from runner.trial import Proposal, State

GOALS = Goals((Objective("acc", "max"),))
CONFIG = {"objective": {"metric": "acc", "mode": "max"}}


@pytest.fixture
def folder(tmp_path):
    """The record of three trials: one finished, one failed, one still running."""
    with Store(tmp_path, GOALS) as store:
        store.begin(CONFIG)
        for number in range(3):
            proposal = Proposal({"x": number, "p": [1, 2]})
            store.propose(proposal, seed=number + 10, key=str(number), duplicate_of=None)
            store.record(number, "started", {})
        store.record(1, "metrics", {"acc": 0.5})
        store.record(0, "metrics", {"acc": 0.1})
        store.record(1, "metrics", {"acc": 0.7, "loss": 1.0})
        store.record(1, "finished", {})
        store.record(0, "failed", {"reason": "crashed", "text": "SIGSEGV"})
        store.record(2, "metrics", {"acc": 0.9})
    return tmp_path


def test_a_trial_is_the_sum_of_its_events(folder):
    failed, finished, running = read(folder).trials
    assert (failed.state, str(failed.failure)) == (State.FAILED, "crashed: SIGSEGV")
    assert (finished.state, finished.score, finished.step) == (State.FINISHED, 0.7, 2)
    assert finished.metrics == {"acc": 0.7, "loss": 1.0}
    assert finished.sample == {"x": 1, "p": [1, 2]} and finished.seed == 11
    assert running.running and running.score is None


def test_what_is_recorded_late_has_the_time_at_which_it_was(folder):
    with Store(folder, GOALS) as store:
        list(store.replay())
        store.record(2, "started", {}, 1000.0)
        store.record(2, "metrics", {"acc": 0.9}, 900.0)
        store.record(2, "finished", {}, 400.0)
    trial = read(folder).trials[2]
    assert 600 <= trial.seconds < 700
    with sqlite3.connect(folder / RECORD) as db:
        [(seconds,)] = db.execute("select seconds from trials where number = 2")
    assert seconds == pytest.approx(trial.seconds)
    with Store(folder, GOALS) as store:
        list(store.replay())
        store.propose(Proposal({"x": 3}), seed=13, key="3", duplicate_of=None)
        assert store.record(3, "started", {}, 1e12).started_at == 0.0, "no time is before 1970"
    assert read(folder).trials[3].started_at == 0.0


def test_a_trial_knows_its_parent_and_older_records_have_none(folder):
    with Store(folder, GOALS) as store:
        list(store.replay())
        store.propose(Proposal({"x": 3}, parent=1), seed=13, key="3", duplicate_of=None)
    assert [trial.parent for trial in read(folder).trials] == [None, None, None, 1]


def test_less_is_better_for_mode_min(folder):
    assert read(folder, Goals((Objective("acc", "min"),))).trials[1].score == -0.7


def test_replay_gives_a_trial_after_each_of_its_events_in_their_order(folder):
    with Store(folder, GOALS) as store:
        seen = [(t.number, str(t.state), t.started_at is not None, t.step) for t in store.replay()]
        assert seen == [
            *((0, "running", False, 0), (0, "running", True, 0)),
            *((1, "running", False, 0), (1, "running", True, 0)),
            *((2, "running", False, 0), (2, "running", True, 0)),
            *((1, "running", True, 1), (0, "running", True, 1), (1, "running", True, 2)),
            *((1, "finished", True, 2), (0, "failed", True, 1), (2, "running", True, 1)),
        ]
        assert list(store.running) == [2] and store.next_number == 3
        assert store.trial(1).score == 0.7


def test_a_trial_that_starts_again_forgets_its_metrics(folder):
    with Store(folder, GOALS) as store:
        list(store.replay())
        trial = store.record(2, "started", {})
        assert trial.metrics == {} and trial.step == 0


def test_a_record_goes_on_after_it_was_closed(folder):
    with Store(folder, GOALS) as store:
        list(store.replay())
        store.record(2, "finished", {})
    assert [str(t.state) for t in read(folder).trials] == ["failed", "finished", "finished"]


def test_any_trial_can_be_read_while_the_record_grows(folder):
    with Store(folder, GOALS) as store:
        list(store.replay())
        store.propose(Proposal({"x": 3}), seed=13, key="3", duplicate_of=None)
        store.record(3, "started", {})
        store.record(2, "finished", {"acc": 0.8})
        store.record(3, "finished", {"acc": 0.2})
        assert [store.trial(number) for number in range(4)] == read(folder).trials


def test_a_second_run_on_one_folder_is_refused_and_told_who_has_it(folder):
    with Store(folder, GOALS), pytest.raises(ConfigError, match=r"in use.*process \d+ on"):
        Store(folder, GOALS)
    Store(folder, GOALS).close()


def test_readers_do_not_disturb_the_writer(folder):
    with Store(folder, GOALS) as store:
        list(store.replay())
        assert len(read(folder).trials) == 3
        store.record(2, "finished", {})
        assert read(folder).trials[2].score == 0.9


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no run in .*it has no run\.db"):
        read(tmp_path)


def test_a_config_is_read_without_the_trials(folder):
    whole, config = read(folder), read_config(folder)
    assert (config.config, config.run, config.signature) == (
        whole.config, whole.run, whole.signature)  # fmt: skip
    assert whole.trials and not config.trials


def test_the_config_of_a_resumed_run_is_the_latest(folder):
    with Store(folder, GOALS) as store:
        store.resume(CONFIG | {"seed": 5})
        assert [*store.replay()]
    assert read_config(folder).config == read(folder).config == CONFIG | {"seed": 5}


def test_a_config_is_missing_in_a_folder_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match=r"no run\.db"):
        read_config(tmp_path)
    with Store(tmp_path, GOALS):
        pass
    with pytest.raises(ConfigError, match="No run has begun"):
        read_config(tmp_path)


def test_the_events_of_some_trials_are_those_of_the_record(folder):
    events: list = []
    read(folder, see=events.append)
    for trials in ([], [1], [0, 2], [7]):
        expected = sorted((e for e in events if e.trial in trials), key=lambda e: e.trial)
        assert [*trial_events(folder, trials)] == expected


def test_the_last_event_tells_whether_a_record_has_grown(folder, tmp_path_factory):
    assert last_event(tmp_path_factory.mktemp("empty")) == (0, 0)
    before = last_event(folder)
    assert last_event(folder) == before and before[0] > 1
    with Store(folder, GOALS) as store:
        assert [*store.replay()] and last_event(folder) == before
        store.record(2, "metrics", {"acc": 0.9})
        assert last_event(folder) != before  # while it is being written, too


def test_a_changed_event_is_noticed(folder):
    with sqlite3.connect(folder / RECORD) as db:
        db.execute("update events set data = replace(data, '0.7', '0.8')")
    db.close()
    with pytest.raises(RunFailed, match=r"damaged: event \d+ does not match its checksum"):
        read(folder)


def test_a_removed_event_is_noticed(folder):
    with sqlite3.connect(folder / RECORD) as db:
        db.execute("delete from events where id = 4")
    db.close()
    with pytest.raises(RunFailed, match="damaged"):
        read(folder)


def outcome(folder):
    """The trials a record tells of, or None when it is refused."""
    try:
        return [(t.number, t.sample, t.seed, t.state, dict(t.metrics)) for t in read(folder).trials]
    except (RunFailed, ConfigError):
        return None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_flipped_byte_or_a_cut_is_refused_or_changes_nothing(folder, tmp_path_factory, data):
    whole = outcome(folder)
    copy = tmp_path_factory.mktemp("copy")
    content = bytearray((folder / RECORD).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    (copy / RECORD).write_bytes(content)
    found = outcome(copy)
    assert found is None or found == whole
    shutil.rmtree(copy)


def test_a_full_disk_stops_the_run_and_keeps_what_was_recorded(folder):
    store = Store(folder, GOALS)
    list(store.replay())
    pages = store._db.execute("pragma page_count").fetchone()[0]
    store._db.execute(f"pragma max_page_count = {pages}")  # SQLite says SQLITE_FULL beyond
    with pytest.raises(RunFailed, match=r"Cannot write the record .*full.*resume="):
        for _ in range(10_000):
            store.record(2, "metrics", {"acc": 1.0})
    written = store.running[2].step
    store.close()
    assert read(folder).trials[2].step == written


def test_killed_at_any_instant_the_record_holds_what_was_acknowledged(tmp_path):
    script = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from runner.store import Store
        from runner.goals import Goals, Objective
        from runner.trial import Proposal

        store = Store(Path({str(tmp_path)!r}), Goals((Objective("acc", "max"),)))
        store.begin({CONFIG!r})
        for number in range(1000):
            store.propose(Proposal({{"x": number}}), 1, str(number), None)
            print(number, flush=True)
            if number == 57:
                os.kill(os.getpid(), 9)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    acknowledged = [int(line) for line in done.stdout.split()]
    assert done.returncode == -9
    assert [trial.number for trial in read(tmp_path).trials] == acknowledged
