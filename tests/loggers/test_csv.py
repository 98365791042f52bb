"""The tables of a run as CSV: what the record says, exactly, however often it is continued."""

import csv

from logged import hostile, search, show
from records import CONFIG

from runner.store import read
from runner.trial import Proposal


def table(path):
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def test_the_tables_say_what_the_record_says(tmp_path):
    assert show("csv", tmp_path, search) == []
    trials, record = table(tmp_path / "trials.csv"), read(tmp_path).trials
    assert sorted(int(row["number"]) for row in trials) == [0, 1, 2, 3, 4]
    for row in trials:
        trial = record[int(row["number"])]
        assert (row["state"], row["stage"]) == (trial.state, "search")
        assert row["score"] == ("" if trial.score is None else str(trial.score))
        assert row["reason"] == (trial.failure.reason if trial.failure else "")
        metrics = {k: float(v) for k, v in row.items() if k in trial.metrics}
        assert metrics == trial.metrics and row["duplicate_of"] in ("", "0")
    assert [row["sample/name"] for row in trials if row["number"] == "0"] == ["a/b"]
    assert [row["error"] for row in trials if row["number"] == "3"] == ["no\\nluck"]
    rows = table(tmp_path / "metrics.csv")
    assert [tuple(row.values())[:4] for row in rows if row["trial"] == "3"] == [
        ("3", "1", "val/accuracy", "0.1")], "as it was started last"  # fmt: skip
    assert [tuple(row.values())[1:4] for row in rows if row["trial"] == "0"] == [
        ("1", "val/accuracy", "0.1"), ("1", "loss", "1.0"), ("2", "val/accuracy", "0.2"),
        ("2", "loss", "0.5"), ("2", "test/accuracy", "0.25")]  # fmt: skip


def test_a_run_that_is_continued_has_the_same_tables(tmp_path):
    show("csv", tmp_path, search)
    before = {name: (tmp_path / name).read_bytes() for name in ("trials.csv", "metrics.csv")}
    assert show("csv", tmp_path, lambda store: None, before=True) == []
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_table_grows_new_columns_and_keeps_odd_names(tmp_path):
    assert show("csv", tmp_path, hostile) == []
    first, second = table(tmp_path / "trials.csv")
    assert len([name for name in first if name.startswith("sample/block")]) == 1000
    assert first["sample/block7/op"] == "1" and second["sample/block7/op"] == ""
    assert second["sample/=1+1"] == "=cmd()" and first["../../etc"] == "inf"
    assert first["a/b"] == "nan" and len({*first}) == len(first)
    assert all("\n" not in cell for row in (first, second) for cell in row.values())


def test_a_metric_named_like_a_column_has_one_of_its_own(tmp_path):
    own = {"state": 7.0, "number": 5.0, "sample/name": 3.0, "val/accuracy": 0.5}

    def odd(store):
        store.begin(CONFIG)
        trial = store.propose(Proposal({"name": "a"}), 1, "k", None)
        for kind, data in (("started", {}), ("metrics", own), ("finished", {})):
            store.record(trial.number, kind, data)

    assert show("csv", tmp_path, odd) == []
    [row] = table(tmp_path / "trials.csv")
    assert (row["number"], row["state"], row["sample/name"]) == ("0", "finished", "a")
    assert (row["metric/number"], row["metric/state"], row["metric/sample/name"]) == (
        "5.0", "7.0", "3.0")  # fmt: skip
    assert row["val/accuracy"] == "0.5"
