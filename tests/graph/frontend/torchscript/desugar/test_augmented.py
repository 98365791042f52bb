"""What is changed in place, and what stands between brackets, means what it means to Python."""

import itertools
import linecache
import sys
import types
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from runner.graph.validation.conversion_check import check_conversion

pytestmark = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>")
FLOAT = OPERATORS[:7]
_HEAD = """
import torch
from torch import Tensor, nn
def helper(y, z):
    y -= z
    y[0] *= 2
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.arange(12.0).view(3, 4) + 1)
        self.picked = [True, False, True]
        self.rows = [2, 0]
        self.flag = True
    def forward(self, x, n, m, i):
"""


def _model(lines: Sequence[str]) -> nn.Module:
    """A module with a forward of these lines, whose source can be found."""
    text = _HEAD + "".join(f"        {line}\n" for line in lines)
    name = f"in_place_{abs(hash(text))}"
    module = sys.modules[name] = types.ModuleType(name)
    file = f"/{name}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), module.__dict__)
    made: nn.Module = module.M()
    return made


def _inputs() -> tuple[torch.Tensor, ...]:
    """Floats, whole numbers, bools (all 3 x 4) and an index."""
    floats = torch.tensor([1.5, -2.0, 3.25, 0.5] * 3).view(3, 4) + torch.arange(3.0)[:, None]
    whole = torch.tensor([5, 1, 2, 7] * 3).view(3, 4) + torch.arange(3)[:, None]
    return floats, whole, floats > 1, torch.tensor([2, 0])


def _assert_as_in_python(*lines: str, grade: str = "graph") -> None:
    report = check_conversion(_model(lines), *_inputs(), frontend="torchscript")
    report.raise_if_wrong()
    assert report.grades.get(grade) == 1, str(report)


# Augmented assignment: all operators, targets and dtypes, several in one module

TARGETS = {
    "a name": "{x} {op}= {v}",
    "a slice": "{x}[:, 1:] {op}= {v}",
    "an item": "{x}[1] {op}= {v}",
    "negative, None and dots": "{x}[-1, None, ..., ::2] {op}= {v}",
    "a tensor": "{x}[i] {op}= {v}",
    "a tensor and a slice": "{x}[1:, i] {op}= {v}",
    "a number that is a tensor": "{x}[i[0]] {op}= {v}",
    "a mask": "{x}[m] {op}= {v}",
    "a list of bools": "{x}[[True, False, True]] {op}= {v}",
    "a list of numbers": "{x}[:, [0, 3]] {op}= {v}",
    "where": "{x}[torch.where(m)] {op}= {v}",
    "a view of a view": "{x}[0][1:] {op}= {v}",
    "what a method gives": "{x}.view(-1)[3] {op}= {v}",
    "an item of a list": "[{x}, {x}][0] {op}= {v}",
}


def _table() -> Iterator[tuple[str, str, list[str]]]:
    for target, (x, operators, values) in itertools.product(
        TARGETS,
        (
            ("x", FLOAT, ("2", "0.5")),
            ("n", OPERATORS[:3] + OPERATORS[4:], ("2",)),
            ("m", ("&", "|", "^"), ("True", "self.flag", "(i.numel() > 1)")),
        ),
    ):
        lines = ["y = x.clone()"]
        for number, (op, value) in enumerate(itertools.product(operators, values)):
            name, alias = f"t{number}", f"a{number}"
            change = TARGETS[target].format(x=name, op=op, v=value)
            lines += [f"{name} = {x}.clone()", f"{alias} = {name}", change]
        count = len(operators) * len(values)
        outputs = ", ".join(f"t{number}, a{number}" for number in range(count))
        yield target, x, [*lines, f"return {outputs}"]


@pytest.mark.parametrize(
    "lines", [pytest.param(lines, id=f"{x}-{target}") for target, x, lines in _table()]
)
def test_augmented_assignments_are_those_of_python(lines: list[str]) -> None:
    _assert_as_in_python(*lines)


PROGRAMS = {
    "an argument": "x %= 2; n |= 1; m &= False; return x, n, m",
    "a part of an argument": "m[:, :2] &= False; n[i] ^= 3; x[m] //= 2; return x * n",
    "a name for the same": "z = x; w = x * 1; x **= 2; x -= w; return z, w",
    "the old value stays": "y = x.clone(); z = y * 2; y @= y.t(); return y, z",
    "a buffer": "self.kept %= 5; self.kept[0] -= 1; self.kept[:, i] *= 2; return self.kept * x",
    "a list": "t = [x * 1, x * 2]; t[0] %= 2; t[-1][0] += 1; t += [x]; return t",
    "a dict": "t = {'a': x * 1}; u = t['a']; t['a'] += 1; t['a'] %= 2; return t, u",
    "numbers": "k = x.size(0); k //= 2; k %= 5; k |= 6; k ^= 1; t = [k]; t[0] += 2; return k, t",
    "lists of numbers": "t = [1, 2]; u = t; t += [3]; t[0] *= 2; t.append(4); return x, u",
    "texts": "t = 'a'; t += 'b'; return x, t",
    "methods": "x.fmod_(2); n.remainder_(3); m.__ior__(True); n.__ilshift__(1); return x, n, m",
    "an out": "y = x.clone(); torch.add(n, 1, out=y); return y",
    "a helper": "y = x * 1; helper(y, n); return y",
    "swapped": "y = x.clone(); y[0], y[1] = y[1], y[0]; return y",
    "assigned at once": "a = b = x * 1; a += 1; return b",
    "deleted": "y = x * 1; z = y; y += 1; del y; return z",
    "written between": "y = x.clone(); t = y[0]; y += 1; t *= 2; u = y[0]; return t, u, y",
    "of what is changed": "y = x.clone(); y += y; y[0] -= y[1]; y[i] *= y[i]; return y",
    "expanded": "y = x[0].clone(); z = y.expand(3, 4); y %= 2; return z, y",
}


@pytest.mark.parametrize("program", [pytest.param(p, id=name) for name, p in PROGRAMS.items()])
def test_programs_in_place_change_what_they_change_in_python(program: str) -> None:
    _assert_as_in_python(*program.split("; "))


def test_changes_in_loops_and_branches_reach_what_they_reach_in_python() -> None:
    _assert_as_in_python(
        "y = x.clone()", "z = y", "for k in range(3):", "    y[k] %= 2", "    y *= 1.5",
        "    if k > 1:", "        y[:, i] -= k", "    else:", "        y //= 1",
        "return z, y",
    )  # fmt: skip


INDICES = (
    "x[[True, False, True]], x[:, [True, False, False, True]], x[self.picked], x[self.rows]",
    "x[[[0, 1], [1, 0]]], x[[[0, 1], [1, 0]], :], x[[[0, 1], [1, 0]],], x[1:, [0, 1]]",
    "x[[k > 0 for k in range(3)]], x[torch.where(m)], x[torch.where(m)[0]], x[i[0], i]",
    "x[torch.nonzero(m, as_tuple=True)], x[(n > 3).nonzero(as_tuple=True)], m.nonzero()",
    "x[torch.zeros(1, 2).shape], x[i[0]:], x[m[0, 0]], x[..., None], x[None, self.picked]",
    "m & True, m | self.flag, m ^ (i.numel() > 1), m * True, n * True, m & int(self.flag)",
    "torch.where(m, True, False), torch.full((2,), True), m.new_full((2,), True), m + False",
    "x.masked_fill(m, True), m.masked_fill(m, False), torch.full_like(m, True), m.float() * True",
)


@pytest.mark.parametrize("reads", INDICES)
def test_lists_and_bools_stay_what_they_are(reads: str) -> None:
    _assert_as_in_python(f"return {reads}")


@pytest.mark.parametrize(
    "key",
    ["[True, False, True]", "self.picked", "torch.where(m)", "self.rows", ":, [True] * 4", "i[0]",
     "torch.nonzero(m, as_tuple=True)", "[[0, 1], [1, 0]]", "m", "None, 1"],
)  # fmt: skip
def test_parts_are_set_where_python_sets_them(key: str) -> None:
    _assert_as_in_python("y = x.clone()", f"y[{key}] = 2", f"y[{key}] += 1", "return y")


@pytest.mark.parametrize(
    "line",
    ["x.__iadd__(1)", "torch.Tensor.add_(x, 1)", "x[True] = 0", "k = (0, 1); x[k] += 1",
     "x[..., self.rows] = 0", "t = [x, x]; u = t; t *= 2; x += len(u)"],
)  # fmt: skip
def test_what_torchscript_does_not_know_is_kept_as_it_is(line: str) -> None:
    _assert_as_in_python(*line.split("; "), "return x", grade="basic")


# Random sequences of statements

_key = st.sampled_from(
    ["0", "1:", ":, 2", "::2", "..., 1", "i", ":, i", "m", "[True, False, True]", "self.rows",
     "torch.where(m)", "i[0]", "None, 0"]
)  # fmt: skip
_whole = st.sampled_from(("+", "-", "*", "//", "%", "&", "|", "^", "<<"))
_name = st.sampled_from(("a", "b", "c"))
_statement = st.one_of(
    st.builds("{0} {1}= {2}".format, _name, _whole, st.integers(1, 3)),
    st.builds("{0}[{1}] {2}= {3}".format, _name, _key, _whole, st.integers(1, 3)),
    st.builds("{0}[{1}] = {2}".format, _name, _key, st.integers(0, 9)),
    st.builds("{0} = {1}".format, _name, _name),
    st.builds("{0} = {1} + {2}".format, _name, _name, _name),
    st.builds("{0} = {1}[1:].sum(0) + {1}[[0, 2]].sum(0) + 0 * {0}".format, _name, _name),
    st.builds("t[{0}] {1}= {2}".format, st.integers(0, 1), _whole, st.integers(1, 3)),
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(_statement, min_size=2, max_size=8))
def test_random_statements_in_place_give_what_python_gives(statements: list[str]) -> None:
    start = ["a = n.clone()", "b = a", "c = n * 2", "t = [c, a]"]
    _assert_as_in_python(*start, *statements, "return a, b, c, t")
