"""Calls that code makes by passing a unit on as a value are not changed by mistake."""

import passed
import pytest

from runner.errors import GraphError
from runner.graph.ir.lint import lint
from runner.graph.ir.unit import Unit
from runner.graph.transforms.add_skip import add_skip
from runner.graph.transforms.bypass import bypass_unit


def test_a_unit_that_is_passed_on_is_not_skipped_or_removed() -> None:
    graph = passed.passing_graph()
    with pytest.raises(GraphError, match=r"calls of block .* the model \(forward\) passes it on"):
        add_skip(graph, "block", "block")
    with pytest.raises(GraphError, match=r"block .* cannot be removed: code reads 'block'"):
        bypass_unit(graph, "block")


@pytest.mark.parametrize("path", ["stem", "block.0"])
def test_what_is_written_in_a_unit_that_is_passed_on_does_not_reach_its_input(path: str) -> None:
    graph = passed.passing_graph()
    graph.replace("stem", Unit.of("torch.nn:Linear", 6, 6))
    bypass_unit(graph, path)
    lint(graph)
    assert ".clone()" in str(graph)  # the ReLU works in place
