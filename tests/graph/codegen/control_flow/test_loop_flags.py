"""How loops with an `else` are written."""

import pytest
from handbuilt import branch, for_each, function, select, written


@pytest.mark.parametrize(
    ("first", "name", "test"), [(False, "found", "not found"), (True, "complete", "complete")]
)
def test_a_flag_is_set_only_by_the_break(first: bool, name: str, test: str) -> None:
    f, xs, y = function("xs", "y")

    def step(x, flag, t):
        is_more = f.call_function("operator:gt", x, y)
        return branch(f, is_more, ["", "", "t"], (False, not first, x), (True, first, t))

    flag, t = for_each(f, xs, [first, None], ["", "t"], step)
    t = select(f, flag, *((0, t) if first else (t, 0)), name="t")
    f.result = f.call_function("operator:add", t, 1)
    assert written(f) == (
        f"{name} = {first}\n"
        "t = None\n"
        "for x in xs:\n"
        "    if x > y:\n"
        f"        {name} = {not first}\n"
        "        t = x\n"
        "        break\n"
        f"if {test}:\n"
        "    t = 0\n"
        "return t + 1"
    )


def test_a_return_in_a_loop_in_a_loop() -> None:
    f, xs, y = function("xs", "y")

    def inner(z, done, value):
        z.name = "z"
        is_more = f.call_function("operator:gt", z, y)
        return branch(f, is_more, ["", "", ""], (False, True, z), (True, False, None))

    def outer(x, done, value):
        found, value = for_each(f, x, [False, None], ["", ""], inner)
        return branch(f, found, ["", "", ""], (False, True, value), (True, False, None))

    found, value = for_each(f, xs, [False, None], ["", ""], outer)
    f.result = select(f, found, value, y)
    assert written(f) == (
        "for x in xs:\n    for z in x:\n        if z > y:\n            return z\nreturn y"
    )
