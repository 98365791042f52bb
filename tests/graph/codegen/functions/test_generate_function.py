"""Each pass of code generation leaves a function in order, and the graph as it was."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from programs import PROGRAMS
from torch import Tensor, nn

from runner.graph.codegen.control_flow import structure
from runner.graph.codegen.functions.generate_function import analyze
from runner.graph.codegen.generate import generate
from runner.graph.frontend.convert import convert
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.jumps import BREAK, CONTINUE, RETURN
from runner.graph.ir.lint import lint
from runner.graph.ir.lint_function import uses_of
from runner.graph.ir.node import Block, Body, Node

NAMES = [name for name in PROGRAMS if name.startswith(("exits.", "loops."))][::2]
PASSES = ("recover_trip_count", "place_exits", "simplify", "drop_last_continues", "continue_early",
          "keep_flags")  # fmt: skip


def functions(graph: Graph) -> Iterator[Function]:
    for _, unit in graph.root.walk():
        yield from unit.functions.values()
    yield from graph.functions.values()


def converted(name: str) -> Graph:
    torch.manual_seed(0)
    return convert(PROGRAMS[name].make())


def lint_structured(function: Function) -> None:
    """Lints a copy in which jumps are plain exceptions, as no other room knows jumps."""
    copy = function.clone()
    for node in copy.nodes:
        if node.op == "raise" and node.target in (RETURN, BREAK, CONTINUE):
            node.target = "builtins:StopIteration"
    uses_of(copy, "the copy", kept=False)


def owner_of(changed: Node | Block) -> Function:
    block = changed.block if isinstance(changed, Node) else changed
    while not isinstance(block.owner, Body):
        block = block.owner.block
    assert isinstance(block.owner, Function)
    return block.owner


class ContinuesLast(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        for i in range(n):
            if i > 1:
                x = x * i
            else:
                x = x + 1
                if i == 1:
                    continue
        return x


@pytest.fixture
def linted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lints after each pass over control flow; the passes that changed something."""
    changed = []

    def wrapped(name: str, rewrite: Callable[..., bool]) -> Callable[..., bool]:
        def run(part: Any, **options: bool) -> bool:
            function = owner_of(part)
            if result := rewrite(part, **options):
                changed.append(name)
            lint_structured(function)
            return result

        return run

    for name in PASSES:
        monkeypatch.setattr(structure, name, wrapped(name, getattr(structure, name)))
    return changed


def test_functions_are_in_order_after_each_pass_over_control_flow(linted: list[str]) -> None:
    for graph in [convert(ContinuesLast(), frontend="torchscript"), *map(converted, NAMES)]:
        for function in functions(graph):
            before = str(function)
            lint_structured(structure.structure_control_flow(function))
            assert str(function) == before
    assert {*linted} == {*PASSES}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_folded_is_live_and_has_one_live_user(name: str) -> None:
    for function in functions(converted(name)):
        folding = analyze(function)
        live = folding.live
        nodes = folding.function.block.walk()
        written = [node for node in nodes if node in live.nodes or node.op == "output"]
        assert live.nodes >= folding.folded | folding.copied
        assert not folding.folded & folding.copied
        for node in folding.folded:
            (value,) = [value for value in node.outputs if value in live.values]
            assert sum(folding.operands(user).count(value) for user in written) == 1


@pytest.mark.parametrize("name", NAMES[::4])
def test_generation_leaves_a_graph_in_order_and_unchanged(name: str) -> None:
    graph = converted(name)
    before = str(graph)
    first = generate(graph)
    lint(graph)
    assert str(graph) == before
    assert generate(graph.copy()) == first
