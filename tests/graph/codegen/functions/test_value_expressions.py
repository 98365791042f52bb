"""How values are written as expressions."""

import passed
import torch
from handbuilt import function, named, select, written
from programs.source import body

from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source


def test_a_unit_that_is_passed_on_and_a_value_that_is_called() -> None:
    graph, model = passed.passing_graph(), passed.Passing()
    assert body(graph) == (
        "y = checkpoint(self.block, self.stem(x), use_reentrant=False)\n"
        "return nn.Softmax(dim=1)(self.head(y))"
    )
    generated = load_source(generate(graph)).build()
    generated.load_state_dict(model.state_dict())
    x = torch.randn(2, 4)
    assert generated(x).equal(model(x))


def get(f, x, key):
    return f.call_method("get", x, key)


def test_operators_return_an_operand_of_any_type() -> None:
    f, x, y = function("x", "y")
    f.result = select(f, x, y, x)
    assert written(f) == "return x and y"

    f, x, y = function("x", "y")
    a = get(f, x, "a")
    either = select(f, a, a, lambda: get(f, y, "b"))
    f.result = select(f, either, 1, either)
    assert written(f) == 'return (x.get("a") or y.get("b")) and 1'


def test_an_operand_that_is_needed_again_has_a_variable() -> None:
    f, x, y = function("x", "y")
    a = named(get(f, x, "a"), "a")
    f.result = select(f, a, a, lambda: f.call_method("get", y, a))
    assert written(f) == 'a = x.get("a")\nreturn a or y.get(a)'


def test_a_long_second_operand_is_a_statement() -> None:
    f, x, y = function("x", "y")
    a = get(f, x, "a")

    def rest():
        value = y
        for key in range(8):
            value = get(f, value, key)
        return value

    z = select(f, a, a, rest, name="z")
    f.result = f.call_method("get", z, z)
    gets = "".join(f".get({key})" for key in range(8))
    assert written(f) == (f'z = x.get("a")\nif not z:\n    z = y{gets}\nreturn z.get(z)')


def test_a_condition_of_operators_is_that_of_a_while() -> None:
    f, x, y = function("x", "y")

    def both(x):
        a = get(f, x, "a")
        return select(f, a, lambda: get(f, y, "b"), a)

    loop = f.create("loop", "", (None, both(x), x), outputs=("x",))
    body = loop.add_block()
    body.add_input()
    inner = body.add_input("x")
    with f.inserting_into(body):
        after = named(f.call_function("operator:add", inner, 1), "x")
        body.results = (both(after), after)
    f.result = loop.output
    assert written(f) == 'while x.get("a") and y.get("b"):\n    x = x + 1\nreturn x'


def test_a_text_with_values_is_an_f_string() -> None:
    f, x = function("x")
    size = f.call_method("size", x, 0)
    text = f.call_method("format", "{} rows", size)
    f.create("raise", "builtins:ValueError", (text,), outputs=())
    assert written(f) == 'raise ValueError(f"{x.size(0)} rows")'
