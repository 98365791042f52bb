"""A run as an Optuna study: what the record says, loaded back by Optuna and by its dashboard."""

import json
import math
import shlex
import warnings
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from records import BEGUN, WHOLE, configured, write

from runner.errors import ConfigError, RunFailed
from runner.optuna_export import MANY, write_study
from runner.results import Run

STATES = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED,
          "failed": TrialState.FAIL, None: TrialState.RUNNING}  # fmt: skip


def proposed(number, sample, **more):
    data = {"sample": sample, "seed": number, "key": str(number), "duplicate_of": None, **more}
    return "proposed", number, data


def trained(number, sample, values, end="finished", data=None):
    """The events of a trial."""
    events = [proposed(number, sample), ("started", number, {})]
    events += [("metrics", number, {"val/accuracy": v, "loss": -v}) for v in values]
    ends = {"failed": {"reason": "error", "text": "no luck"}}
    return events + ([(end, number, data or ends.get(end, {}))] if end else [])


SEVERAL = [
    BEGUN,
    *trained(0, {"op": "conv", "k": [1, 2], "depth": 1}, [0.1, 0.2]),
    *trained(1, {"op": "pool", "depth": 2}, [0.3, 0.4, 0.5]),
    *trained(2, {"op": "pool", "depth": 1}, [0.1], "stopped"),
    *trained(3, {"op": "conv", "k": [0], "depth": 2}, [math.nan], "failed"),
    proposed(4, {"op": "pool", "depth": 1}, duplicate_of=None),
    ("failed", 4, {"reason": "refused", "text": "too large", "metrics": {"params": 1e9}}),
    *trained(5, {"op": "pool", "depth": 1}, [math.inf]),
    *trained(6, {"op": "pool", "depth": 3}, [0.2], None),
]


def study(command):
    """The study that a command opens."""
    program, place = shlex.split(command)
    assert program == "optuna-dashboard"
    storage = JournalStorage(JournalFileBackend(place))
    [summary] = optuna.get_all_study_summaries(storage=storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


@pytest.fixture
def exported(here):
    write(here / "run", *SEVERAL)
    return study(write_study(here / "run", here / "study.log")), Run(here / "run")


def test_trials_keep_their_numbers_states_values_and_parameters(exported):
    found, run = exported
    assert found.directions == [optuna.study.StudyDirection.MAXIMIZE]
    assert len(found.trials) == len(run.trials) == 7
    for theirs, ours in zip(found.trials, run.trials, strict=True):
        state = STATES[None if ours.running else str(ours.state)]
        assert theirs.number == ours.number
        assert theirs.state == (TrialState.FAIL if ours.number == 5 else state)
        assert theirs.values == ([ours.score] if ours.scored else None)
        lists = {"k": json.dumps(ours.sample["k"])} if "k" in ours.sample else {}
        sample = {**ours.sample, **lists}
        assert theirs.params == sample, "conditional ones only where they were asked"
        assert theirs.user_attrs["trial: seed"] == ours.seed
        assert math.isclose(theirs.datetime_start.timestamp(),
                            ours.started_at or ours.proposed_at, abs_tol=1e-3)  # fmt: skip
    assert found.best_trial.number == run.best.number == 1
    assert found.trials[1].distributions["depth"].choices == (1, 2, 3)
    assert found.trials[1].intermediate_values == {1: 0.3, 2: 0.4, 3: 0.5}
    assert found.trials[1].user_attrs["loss"] == -0.5
    assert found.trials[3].user_attrs["trial: failure"] == "error: no luck"


def test_the_dashboard_opens_it(exported):
    dashboard = pytest.importorskip("optuna_dashboard", reason="the extra `dashboard`")
    found, run = exported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        app = dashboard.wsgi(found._storage)

        def get(path):
            heads, environ = [], {"PATH_INFO": path, "QUERY_STRING": "after=0"}
            setup_testing_defaults(environ)
            body = app(environ, lambda status, *_: heads.append(status))
            return heads[0], b"".join(body)

        status, listed = get("/api/studies")
        assert status.startswith("200") and b'"run"' in listed
        status, detail = get(f"/api/studies/{found._study_id}")
    shown = json.loads(detail)
    assert status.startswith("200") and len(shown["trials"]) == 7
    assert [t["number"] for t in shown["trials"]] == [t.number for t in run.trials]
    assert shown["trials"][1]["values"] == [0.5]


def test_several_objectives_and_constraints_are_told(here):
    objective = [{"metric": "val/accuracy", "mode": "max"}, {"metric": "loss", "mode": "min"}]
    write(here / "run", configured(objective=objective, constraints=["loss <= -0.3"]),
          *trained(0, {"x": 1}, [0.2]), *trained(1, {"x": 2}, [0.4]))  # fmt: skip
    found = study(write_study(here / "run", here / "s.log"))
    assert [str(d.name) for d in found.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert found.metric_names == ["val/accuracy", "loss"]
    assert [t.values for t in found.trials] == [[0.2, -0.2], [0.4, -0.4]]
    assert [t.system_attrs["constraints"][0] > 0 for t in found.trials] == [True, False]
    assert [t.constraints["loss <= -0.3"] > 0 for t in found.trials] == [True, False]


def test_many_numbers_are_a_range_and_what_optuna_would_mix_up_is_written(here):
    kinds = [1, True, None, "x", "\ud800", [1], {"a": 1}, 2**80, 1.5] * 3
    samples = [{"lr": i / 7, "n": i, "kind": k, "\n": i % 2} for i, k in enumerate(kinds)]
    events = [e for i, sample in enumerate(samples) for e in trained(i, sample, [0.5])]
    write(here / "run", BEGUN, *events)
    found = study(write_study(here / "run", here / "s.log"))
    assert len(samples) > MANY
    for sample, trial in zip(samples, found.trials, strict=True):
        assert trial.params["lr"] == sample["lr"] and trial.params["n"] == sample["n"]
        assert json.loads(trial.params["kind"]) == sample["kind"]
        assert trial.params["\\n"] == sample["\n"]
    assert found.trials[0].distributions["n"] == optuna.distributions.IntDistribution(0, 26)


def test_writing_again_replaces_a_study_and_nothing_else(here):
    write(here / "run", *WHOLE)
    before = (here / "run" / "run.db").read_bytes()
    for _ in range(2):
        assert len(study(write_study(here / "run", here / "a.log")).trials) == 1
    assert sorted(p.name for p in here.iterdir()) == ["a.log", "run"]
    assert (here / "run" / "run.db").read_bytes() == before
    (here / "notes.log").write_text("my notes")
    (here / "link.log").symlink_to(here / "a.log")
    for name in ("notes.log", "link.log", "run"):
        with pytest.raises(ConfigError, match="is no Optuna study"):
            write_study(here / "run", here / name)
    assert (here / "notes.log").read_text() == "my notes"


def test_what_cannot_be_written_is_one_line(here):
    write(here / "run", *WHOLE)
    (here / "file").write_text("")
    with pytest.raises(RunFailed, match="cannot be written") as caught:
        write_study(here / "run", here / "file" / "s.log")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="no run"):
        write_study(here, here / "s.log")


def test_a_run_without_trials_is_an_empty_study(here):
    write(here / "run", BEGUN)
    assert study(write_study(here / "run", here / "s.log")).trials == []


def test_a_name_that_a_shell_would_split_is_quoted(here):
    write(here / "a b; rm", *WHOLE)
    command = write_study(here / "a b; rm", here / "a b; rm" / "s.log")
    assert shlex.split(command) == ["optuna-dashboard", "a b; rm/s.log"]
    assert len(study(command).trials) == 1


def test_trainings_of_one_sample_are_one_result(tmp_path):
    """The first has the mean, and is the best; the lucky one of the other sample is not."""
    repeats = [
        BEGUN,
        *trained(0, {"op": "conv"}, [0.5]), *trained(1, {"op": "pool"}, [0.9]),
        proposed(2, {"op": "conv"}, repeat_of=0), ("started", 2, {}),
        ("metrics", 2, {"val/accuracy": 0.6}), ("finished", 2, {}),
        proposed(3, {"op": "pool"}, repeat_of=1), ("started", 3, {}),
        ("metrics", 3, {"val/accuracy": 0.0}), ("finished", 3, {}),
    ]  # fmt: skip
    write(tmp_path / "run", *repeats)
    found = study(write_study(tmp_path / "run", tmp_path / "study.log"))
    assert [t.state for t in found.trials] == [TrialState.COMPLETE] * 2 + [TrialState.PRUNED] * 2
    assert (found.best_trial.number, found.best_value) == (0, pytest.approx(0.55))
    assert found.trials[1].value == pytest.approx(0.45)
