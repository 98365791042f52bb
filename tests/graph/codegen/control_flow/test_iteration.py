"""How loops over sequences, and loops that count, are written again."""

import pytest
import torch
from handbuilt import for_each, function, named
from handbuilt import written as unparsed
from programs.source import body, written
from torch import Tensor, nn

from runner.graph.frontend.convert import convert
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Parameter
from runner.graph.ir.unit import Ref, Unit


class Walks(nn.Module):
    def forward(self, xs: list[Tensor], ys: list[Tensor], names: dict[str, Tensor]):
        total = torch.zeros(2)
        for x in xs:
            total = total + x
        for i, x in enumerate(xs):
            total = total * x + i
        for i, x in enumerate(xs, 1):
            total = total * x + i
        for x, y in zip(xs, ys):  # noqa: B905
            total = total - x * y
        for i, (x, _) in enumerate(zip(xs, ys)):  # noqa: B905
            xs[i] = x * 2
        for name, x in names.items():
            total = total + x * len(name)
        last = total
        for last in total.chunk(2):
            total = total + last
        return total, last


def test_loops_over_sequences_are_written_as_such() -> None:
    xs = [torch.ones(2), torch.full((2,), 2.0)]
    assert written(Walks(), xs, xs[:1], {"a": torch.ones(2)}) == (
        "total = torch.zeros(2)\n"
        "for x in xs:\n"
        "    total = total + x\n"
        "for i, x in enumerate(xs):\n"
        "    total = total * x + i\n"
        "for i, x in enumerate(xs, 1):\n"
        "    total = total * x + i\n"
        "for x, y in zip(xs, ys):\n"
        "    total = total - x * y\n"
        "for i, (x, _) in enumerate(zip(xs, ys)):\n"
        "    xs[i] = x * 2\n"
        "for name, x in names.items():\n"
        "    total = total + x * len(name)\n"
        "last = total\n"
        "for last in total.chunk(2):\n"
        "    total = total + last\n"
        "return total, last"
    )


class Counts(nn.Module):
    def forward(self, xs: list[Tensor], n: int):
        total = torch.zeros(2)
        for k in range(1, n, 2):
            total = total + k
        for k in range(n, 0, -1):
            total = total * k
        for k in range(0, n):
            total = total - k
        for i in range(len(xs)):
            x = xs[i]
            total = total + x
        for i, x in enumerate(xs):
            if i < 1:
                xs.append(x)
        return total, len(xs)


def test_loops_that_count_in_the_source_or_change_the_length_go_on_counting() -> None:
    graph = convert(Counts())
    assert body(graph) == (
        "total = torch.zeros([2])\n"
        "for k in range(1, n, 2):\n"
        "    total = total + k\n"
        "for k in range(n, 0, -1):\n"
        "    total = total * k\n"
        "for k in range(0, n):\n"
        "    total = total - k\n"
        "for i in range(len(xs)):\n"
        "    x = xs[i]\n"
        "    total = total + x\n"
        "index = 0\n"  # the list grows while it is looped over
        "while index < len(xs):\n"
        "    x = xs[index]\n"
        "    index_1 = index + 1\n"
        "    if index < 1:\n"
        "        xs.append(x)\n"
        "    index = index_1\n"
        "return total, len(xs)"
    )


@pytest.mark.parametrize(
    ("name", "head"),
    [("", "for x in xs:"), ("i", "for i in range(len(xs)):\n    x = xs[i]")],
)
def test_only_a_counter_without_a_name_disappears(name: str, head: str) -> None:
    f = Function("forward", [Parameter("xs"), Parameter("y")])
    xs, y = f.inputs
    loop = f.create("loop", "", (f.call_function("builtins:len", xs), True, y), outputs=("y",))
    inner = loop.add_block()
    index, carried = inner.add_input(name), inner.add_input("y")
    with f.inserting_into(inner):
        x = f.create("call_function", "operator:getitem", (xs, index), outputs=("x",)).output
        made = f.create("call_function", "torch:add", (carried, x), outputs=("y",)).output
        inner.results = (True, made)
    f.result = loop.output
    root = Unit("graph", Ref("made.up:Net"))
    root.define(f)
    assert body(Graph(root)) == f"{head}\n    y = torch.add(y, x)\nreturn y"


def test_a_list_that_is_only_looped_over_is_not_made() -> None:
    f, xs, y = function("xs", "y")

    def step(x, y):
        return True, named(f.call_function("operator:add", y, x), "y")

    [f.result] = for_each(f, xs, [y], ["y"], step)
    assert unparsed(f) == "for x in xs:\n    y = y + x\nreturn y"


def test_items_are_unpacked_in_the_head() -> None:
    f, xs, y = function("xs", "y")

    def step(x, y):
        x.name = ""
        i, pair = f.create("unpack", "", (x,), outputs=("i", "")).outputs
        a, b = f.create("unpack", "", (pair,), outputs=("a", "b")).outputs
        return True, named(f.call_function("torch:stack", [y, i, a, b]), "y")

    pairs = f.call_function("builtins:enumerate", f.call_function("builtins:zip", xs, y))
    [f.result] = for_each(f, pairs, [0], ["y"], step)
    assert unparsed(f) == (
        "y_1 = 0\n"
        "for i, (a, b) in enumerate(zip(xs, y)):\n"
        "    y_1 = torch.stack([y_1, i, a, b])\n"
        "return y_1"
    )


@pytest.mark.parametrize(
    ("target", "expected"), [("zip", "list(zip(xs))"), ("list", "list(xs)"), ("", "list(xs)")]
)
def test_a_list_is_made_where_the_loop_changes_what_it_is_made_of(target, expected) -> None:
    f, xs = function("xs")

    def step(x):
        f.create("call_function", "operator:setitem", (xs, 0, x), outputs=())
        return (True,)

    over = f.call_function(f"builtins:{target}", xs) if target else xs
    for_each(f, over, [], [], step)
    f.result = xs
    assert unparsed(f) == f"for x in {expected}:\n    xs[0] = x\nreturn xs"
