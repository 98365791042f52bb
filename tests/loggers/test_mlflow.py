"""Runs of MLflow, read back from its database by its client."""

import math

import pytest
from logged import hostile, node, search, show

from runner.config.instantiate import build
from runner.errors import ConfigError
from runner.loggers.mlflow import LONGEST_NAME, _name


@pytest.fixture
def client(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    return lambda: mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow/mlflow.db")


def runs(client):
    experiment = client.get_experiment_by_name("runner").experiment_id
    return {run.data.tags["runner.trial"]: run for run in client.search_runs([experiment])}


def history(client, run, name):
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]


@pytest.mark.filterwarnings("ignore")
def test_the_runs_say_what_the_record_says_and_once(tmp_path, client):
    assert show("mlflow", tmp_path, search) == []
    first = client()
    found = runs(first)
    assert found.keys() == {"search", "0", "3", "4"}
    statuses = {name: run.info.status for name, run in found.items()}
    assert statuses == {"search": "FINISHED", "0": "FINISHED", "3": "FAILED", "4": "KILLED"}
    parent = found["search"].info.run_id
    assert {run.data.tags.get("mlflow.parentRunId") for run in found.values()} == {None, parent}
    assert found["0"].data.params == {"x": "0", "name": "a/b"}
    assert found["search"].data.params["evaluator.lr"] == "0.5"
    assert not any("trust" in name or "logger" in name for name in found["search"].data.params)
    assert history(first, found["0"], "val/accuracy") == [(1, 0.1), (2, 0.2)]
    assert history(first, found["3"], "val/accuracy") == [(1, 0.1)]
    assert [a.path for a in first.list_artifacts(parent, "model")] == ["model/model.py"]
    assert show("mlflow", tmp_path, lambda store: None, before=True) == []
    again = runs(client())
    assert {k: r.info.run_id for k, r in again.items()} == {
        k: r.info.run_id for k, r in found.items()}  # fmt: skip
    assert history(first, again["0"], "val/accuracy") == [(1, 0.1), (2, 0.2)]


@pytest.mark.filterwarnings("ignore")
def test_odd_numbers_are_there(tmp_path, client):
    assert show("mlflow", tmp_path, hostile) == []
    found = runs(client())["0"]
    assert len(found.data.params) == 1000
    assert math.isnan(found.data.metrics["a/b"]) and len(found.data.metrics) == 10


def test_names_are_such_as_mlflow_takes_and_stay_apart():
    names = [
        "a/b",
        "a//b",
        "a:b c",
        "../x",
        "/x",
        "",
        ".",
        "x" * 300,
        "x" * 301,
        "ä",
        "ö",
        "\u202e",
    ]
    made = [_name(name) for name in names]
    assert made[0] == "a/b" and made[2] == "a:b c" and len({*made}) == len(names)
    for name in made:
        assert 0 < len(name) <= LONGEST_NAME and name.isascii() and name[0] != "/"
        assert not {".", "..", ""} & {*name.split("/")}


def test_no_password_gets_into_a_record():
    with pytest.raises(ConfigError, match="contains a password") as caught:
        build(node("mlflow", tracking_uri="https://me:secret@host/")).check()
    assert "secret" not in str(caught.value)
