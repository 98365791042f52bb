"""NAS-Bench-Graph: every row of its package is an architecture of the space."""

import sys
from typing import get_args

import pytest

from runner.errors import ConfigError, Refused
from runner.tables.nasbench_graph import GraphName, NASBenchGraphTable


@pytest.mark.parametrize("dataset", get_args(GraphName))
def test_the_package_has_a_row_for_each_architecture(dataset):
    package = pytest.importorskip("nas_bench_graph", reason="needs the extra `benchmarks`")
    table = NASBenchGraphTable(dataset)
    table.check()
    operations = ["gcn", "sage", "arma", "fc"]
    row = table.look_up(f"0012 {','.join(operations)}", 0)
    architecture = package.Arch([0, 0, 1, 2], operations)
    published = package.light_read(dataset)[architecture.valid_hash()]
    assert row.search.keys() == table.reports.keys() and row.test.keys() == table.tests.keys()
    assert row.search["val/accuracy"] == published["valid_perf"]
    assert row.search["params"] == pytest.approx(1e6 * published["para"])
    assert row.test["accuracy"] == published["perf"]


@pytest.mark.parametrize(
    "text", ["", "0012", "0012 gcn,gcn,gcn", "3210 gcn,gcn,gcn,gcn", "0012 gcn,gcn,gcn,mlp"]
)
def test_what_is_no_architecture_is_refused(text):
    pytest.importorskip("nas_bench_graph", reason="needs the extra `benchmarks`")
    with pytest.raises(Refused, match="is not in NAS-Bench-Graph's table of 'cora'"):
        NASBenchGraphTable("cora").look_up(text, 0)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nas_bench_graph", None)
    with pytest.raises(ConfigError, match=r'pip install "nas-runner\[benchmarks\]"'):
        NASBenchGraphTable("cora").check()
