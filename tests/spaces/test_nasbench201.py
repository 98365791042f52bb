"""The cells of NAS-Bench-201, written as the benchmark writes them."""

from tabulated import CELL

from runner.engines.py import PyEngine
from runner.nn import sample as fixed
from spaces.nasbench201 import NASBench201


def test_all_cells_are_drawn_once_and_written_as_published():
    space = PyEngine(space={"_target_": "spaces.nasbench201.NASBench201"}).space
    found = space.describe()
    assert found.count == 5**6
    labels = [choice.label for choice in space.walk(lambda choice: choice.default).choices.values()]
    assert labels == ["1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"]
    values = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none"]
    with fixed(dict(zip(labels, values, strict=True))):
        assert NASBench201().architecture == CELL.format(*values)
