"""Random functions do the same as generated source as when their nodes are run one by one."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.graph.codegen.functions.generate_function import analyze
from runner.graph.codegen.generate import generate
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Block, Node, Parameter, Value, map_values
from runner.graph.ir.unit import Ref, Unit

NAMES = st.sampled_from(["", "", "", "x", "y", "out"])
Values = list[Value]


class Stop(Exception):
    """Raised by the programs."""


class Program:
    """Builds a random function of two tensors and a list; all values in it are tensors."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.function = Function("forward", [Parameter("x"), Parameter("y"), Parameter("log")])
        x, y, self.log = self.function.inputs
        values = self.block([x, y], 0)
        kind = self.draw(st.integers(0, 2))
        if kind == 0:
            self.function.result = self.ending(values)
        elif kind == 1:
            self.function.result = (self.pick(values), self.pick(values))

    def pick(self, values: Values) -> Value:
        return self.draw(st.sampled_from(values[-6:] if self.draw(st.booleans()) else values))

    def argument(self, values: Values) -> Any:
        return self.draw(st.integers(-2, 3)) if self.draw(st.integers(0, 3)) == 0 else (
            self.pick(values)
        )  # fmt: skip

    def block(self, values: Values, depth: int) -> Values:
        values = [*values]
        kinds = [self.pure, self.pure, self.change, self.taken, self.noted, self.listed]
        if depth < 3:
            kinds += [self.branch, self.branch, self.counted, self.repeated, self.guard]
            kinds += [self.walked, self.stepped]
        for _ in range(self.draw(st.integers(0, 5))):
            values += self.draw(st.sampled_from(kinds))(values, depth)
        return values

    def node(self, op: Any, target: str, args: Sequence[Any], *names: str) -> Node:
        return self.function.create(op, target, args, outputs=names)

    def pure(self, values: Values, depth: int) -> Values:
        name = self.draw(st.sampled_from(["add", "sub", "mul", "gt"]))
        args = (self.pick(values), self.argument(values))
        made = self.node("call_function", f"operator:{name}", args, self.draw(NAMES)).output
        return [self.node("call_method", "long", (made,), "").output] if name == "gt" else [made]

    def change(self, values: Values, depth: int) -> Values:
        args = (self.pick(values), self.argument(values))
        return self.node("call_method", "add_", args, *([] if self.draw(st.booleans()) else [
            self.draw(NAMES)])).outputs  # fmt: skip

    def taken(self, values: Values, depth: int) -> Values:
        args = (self.log, self.pick(values))
        self.node("call_method", "append", args)
        return self.node("call_method", "pop", (self.log, 0), self.draw(NAMES)).outputs

    def noted(self, values: Values, depth: int) -> Values:
        copy = self.node("call_method", "clone", (self.pick(values),), self.draw(NAMES)).output
        self.node("call_method", "append", (self.log, copy))
        return []

    def listed(self, values: Values, depth: int) -> Values:
        items = self.node("list", "", [self.pick(values) for _ in range(2)], "").output
        names = [self.draw(NAMES), self.draw(NAMES)]
        return self.node("unpack", "", (items,), *names).outputs

    def condition(self, values: Values) -> Value:
        args = (self.pick(values), self.argument(values))
        made = self.node("call_function", "operator:gt", args, "").output
        if self.draw(st.booleans()):
            made = self.node("call_function", "operator:not_", (made,), "").output
        return self.node("call_function", "builtins:bool", (made,), "").output

    def branch(self, values: Values, depth: int) -> Values:
        names = [self.draw(NAMES) for _ in range(self.draw(st.integers(0, 3)))]
        node = self.node("if", "", (self.condition(values),), *names)
        for _ in range(2):
            block = node.add_block()
            with self.function.inserting_into(block):
                inner = self.block(values, depth + 1)
                block.results = tuple(self.pick(inner) for _ in names)
        return node.outputs

    def guard(self, values: Values, depth: int) -> Values:
        node = self.node("if", "", (self.condition(values),), self.draw(NAMES))
        raising = self.draw(st.integers(0, 1))
        for place in range(2):
            block = node.add_block()
            with self.function.inserting_into(block):
                inner = self.block(values, depth + 1)
                if place == raising:
                    self.node("raise", "builtins:ValueError", ("stop",))
                block.results = (None if place == raising else self.pick(inner),)
        return node.outputs

    def ending(self, values: Values) -> Value:
        """What is returned, perhaps early: then a flag says so, and an If decides by it."""
        if self.draw(st.integers(0, 2)) == 0:
            return self.pick(values)
        flag, returned, changed = self.leaving(values, 1).outputs
        node = self.node("if", "", (flag,), "")
        node.add_block().results = (returned,)
        rest = node.add_block()
        with self.function.inserting_into(rest):
            rest.results = (self.ending(self.block([*values, changed], 2)),)
        return node.output

    def decided(self, flag: Value, one: Value, other: Value, values: Values) -> Values:
        """Perhaps an If that decides by a flag which of two values goes on."""
        if self.draw(st.booleans()):
            return []
        node = self.node("if", "", (flag,), "")
        for value in (one, other):
            block = node.add_block()
            with self.function.inserting_into(block):
                self.block(values, 3)
                block.results = (value,)
        return node.outputs

    def leaving(self, values: Values, depth: int) -> Node:
        """An If that says by a flag whether to return, what, and otherwise a value."""
        node = self.node("if", "", (self.condition(values),), "", "", self.draw(NAMES))
        for _ in range(2):
            block = node.add_block()
            with self.function.inserting_into(block):
                inner = self.block(values, 2)
                if depth < 3 and self.draw(st.booleans()):
                    block.results = self.leaving(inner, depth + 1).outputs
                elif self.draw(st.booleans()):
                    block.results = (True, self.pick(inner), None)
                else:
                    block.results = (False, None, self.pick(inner))
        return node

    def counted(self, values: Values, depth: int) -> Values:
        return self.loop(values, depth, self.draw(st.integers(0, 3)))

    def repeated(self, values: Values, depth: int) -> Values:
        return self.loop(values, depth, None)

    def walked(self, values: Values, depth: int) -> Values:
        """A loop over lists side by side, with or without a counter, or that makes one longer."""
        lists, lengths = [], []
        for _ in range(self.draw(st.integers(1, 2))):
            items = [self.pick(values) for _ in range(self.draw(st.integers(0, 3)))]
            lists.append(self.node("list", "", items, self.draw(NAMES)).output)
            lengths.append(self.call("builtins:len", lists[-1]))
        start = self.draw(st.integers(0, 2))
        counts = [2**63 - 1 - start] if self.draw(st.booleans()) else []
        both = [*counts, *lengths]
        trips = self.call("builtins:min", both) if len(both) > 1 else lengths[0]

        def taken(index: Value) -> Values:
            made = [self.call("operator:getitem", items, index, name=self.draw(NAMES))
                    for items in lists if self.draw(st.integers(0, 3))]  # fmt: skip
            if self.draw(st.booleans()):
                count = self.call("operator:add", index, start, name="i") if start else index
                made.append(self.call("operator:add", self.pick(values), count))
            if self.draw(st.integers(0, 3)) == 0:
                self.node("call_method", "append", (lists[0], self.pick(values)))
            return made

        return self.loop(values, depth, trips, taken)

    def stepped(self, values: Values, depth: int) -> Values:
        """A loop over a range."""
        start, step = self.draw(st.integers(-1, 1)), self.draw(st.sampled_from([1, 2, -1]))
        over = self.call("builtins:range", start, self.draw(st.integers(-2, 3)), step)

        def taken(index: Value) -> Values:
            item = index if step == 1 else self.call("operator:mul", index, step)
            item = item if start == 0 else self.call("operator:add", item, start, name="i")
            return [self.call("operator:add", self.pick(values), item)]

        return self.loop(values, depth, self.call("builtins:len", over), taken)

    def call(self, target: str, *args: Any, name: str = "") -> Value:
        return self.node("call_function", target, args, name).output

    def loop(
        self, values: Values, depth: int, trips: Any, taken: Callable[[Value], Values] | None = None
    ) -> Values:
        names = [self.draw(NAMES) for _ in range(self.draw(st.integers(1, 3)))]
        first = [self.pick(values) for _ in names]
        start = self.condition(values) if self.draw(st.booleans()) else True
        counter = [] if trips is not None else [0]
        node = self.node("loop", "", (trips, start, *first, *counter), *names, *map(str, counter))
        block = node.add_block()
        block.add_input(self.draw(st.sampled_from(["", "i"])))
        inner = [block.add_input(name) for name in names]
        count = block.add_input("") if counter else None
        with self.function.inserting_into(block):
            items = taken(block.inputs[0]) if taken else []
            inner = self.block([*values, *inner, *items], depth + 1)
            again: Any = self.draw(st.sampled_from([True, False])) and trips is not None
            more = []
            if not again:
                again = self.condition(inner)
            if depth == 0 and self.draw(st.booleans()):
                again, left, changed = self.leaving(inner, depth + 2).outputs
                inner = [*inner, *self.decided(again, left, changed, inner)]
            if count is not None:
                one = self.node("call_function", "operator:add", (count, 1), "").output
                less = self.node("call_function", "operator:lt", (one, 3), "").output
                also = self.node("call_function", "operator:and_", (less, again), "").output
                again, more = also, [one]
            block.results = (again, *(self.pick(inner) for _ in names), *more)
        return node.outputs[: len(names)]


class Machine:
    """Runs a function node by node."""

    def __init__(self) -> None:
        self.values: dict[Value, Any] = {}

    def of(self, argument: Any) -> Any:
        return map_values(argument, self.values.__getitem__)

    def call(self, function: Function, *args: Any) -> Any:
        self.values.update(zip(function.inputs, args, strict=True))
        results = self.block(function.block)
        return results[0] if results else None

    def block(self, block: Block) -> tuple[Any, ...]:
        for node in block.nodes[:-1]:
            results = self.node(node)
            self.values.update(zip(node.outputs, results, strict=bool(node.outputs)))
        return tuple(self.of(block.results))

    def node(self, node: Node) -> Sequence[Any]:
        args = self.of(node.args) if node.op not in ("if", "loop") else ()
        match node.op:
            case "call_function":
                module, _, name = node.target.partition(":")
                return [getattr(import_module(module), name)(*args)]
            case "call_method":
                return [getattr(args[0], node.target)(*args[1:])]
            case "list":
                return [[*args]]
            case "unpack":
                return args[0]
            case "raise":
                raise ValueError(*args)
            case "if":
                return self.block(node.blocks[0 if self.of(node.args[0]) else 1])
        return self.loop(node)

    def loop(self, node: Node) -> Sequence[Any]:
        trips, go, *carried = self.of(node.args)
        body, index = node.blocks[0], 0
        while go and (trips is None or index < trips):
            self.values.update(zip(body.inputs, (index, *carried), strict=True))
            go, *carried = self.block(body)
            index += 1
        return carried


def outcome(run: Any) -> Any:
    """What comes of a program: its result or its error, and what it left in its arguments."""
    x, y, log = torch.tensor(1), torch.tensor(2), [torch.tensor(5)]
    try:
        result = run(x, y, log)
    except ValueError as error:
        result = str(error)
    flat = result if isinstance(result, tuple) else (result,)
    return [str(item) for item in (*flat, x, y, *log)]


@pytest.mark.exhaustive
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_generated_source_does_what_the_nodes_do_in_their_order(data: st.DataObject) -> None:
    function = Program(data).function
    root = Unit("graph", Ref("made.up:Net"))
    root.define(function)
    source = generate(Graph(root))
    space: dict[str, Any] = {"__name__": "generated"}
    exec(source, space)
    model = space["build"]()
    expected = outcome(lambda *args: Machine().call(function, *args))
    assert outcome(model) == expected, f"{function}\n\n{source}"


@pytest.mark.parametrize("name", ["", "x"])
def test_a_value_without_a_name_is_folded_into_its_only_user(name: str) -> None:
    function = Function("forward", [Parameter("x")])
    made = function.create("call_method", "relu", function.inputs, outputs=(name,))
    function.result = function.call_method("sum", made.output)
    assert (made in analyze(function).folded) is (name == "")


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("form", ["counted", "walked", "empty", "ended"])
def test_what_is_changed_inside_a_condition_or_head_is_changed_in_any_case(
    form: str, early: bool, start: int
) -> None:
    """A change in the length of a list, which a loop, that may not run, or an If begins with."""
    function = Function("forward", [Parameter("x"), Parameter("y"), Parameter("log")])
    x, y, _ = function.inputs

    def call(target: str, *args: Any) -> Value:
        return function.create("call_function", target, args, outputs=[""]).output

    def condition() -> Value:
        return call("builtins:bool", call("operator:gt", x, start))

    before = condition() if early else None
    changed = function.create("call_method", "add_", (x, x), outputs=[""]).output
    items = function.create("list", "", [changed], outputs=[""]).output
    length = call("builtins:len", items)
    if form in ("counted", "walked"):
        loop = function.create("loop", "", (length, before or condition(), y), outputs=["y"])
        body = loop.add_block()
        index, kept = body.add_input("i" if form == "counted" else ""), body.add_input("y")
        with function.inserting_into(body):
            item = index if form == "counted" else call("operator:getitem", items, index)
            body.results = (True, call("operator:add", kept, item))
        result = loop.output
    else:
        node = function.create("if", "", (call("builtins:bool", length),), outputs=["y"])
        for _ in range(2):
            node.add_block().results = (y,)
        result = node.output if form == "empty" else y
    function.result = (result, call("operator:add", x, 1))
    root = Unit("graph", Ref("made.up:Net"))
    root.define(function)
    space: dict[str, Any] = {"__name__": "generated"}
    exec(source := generate(Graph(root)), space)
    expected = outcome(lambda *args: Machine().call(function, *args))
    assert outcome(space["build"]()) == expected, source
