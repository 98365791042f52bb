"""An argument of a primitive that cannot be right is named in one line, in plain and in symbolic
builds alike."""

import math
from contextlib import nullcontext

import numpy
import pytest
import torch

from runner import nn
from runner.errors import SpaceError, SymbolicError
from runner.nn.values.arguments import whole

OPS = [torch.nn.Identity(), torch.nn.ReLU()]
HOSTILE = {
    "text": "2", "no text": "", "bytes": b"2", "a negative": -1, "a fraction": 1.5,
    "nan": math.nan, "infinity": math.inf, "none": None, "an empty list": [], "an empty dict": {},
    "a dict": {"a": 1}, "a set": {"a", "b"}, "a list of lists": [[]], "a bool": True,
    "an object": object(), "a class": int, "a tensor": torch.ones(2), "an array": numpy.ones(2),
    "a module": torch.nn.ReLU(), "a long text": "x\n" * 5000,
}  # fmt: skip
NUMBERS = ("a negative", "a bool", "a fraction")
TEXTS = ("text", "no text", "a long text")
WHOLE = "text;no text;bytes;a fraction;nan;infinity;an empty list;an empty dict;a dict;a set;"\
    "a list of lists;a bool;an object;a class;a tensor;an array;a module;a long text"  # fmt: skip
NO_LIST = ("text", "no text", "bytes", "an empty dict", "a dict", "a set", "an object", "a class",
           "a module", "a long text", "nan", "infinity", *NUMBERS)  # fmt: skip
LABEL = [name for name in HOSTILE if name not in (*TEXTS, "none")]


def but(*names):
    return [name for name in HOSTILE if name not in names]


# For each argument: a call, and what is wrong there.
ARGUMENTS = {
    "LayerChoice candidates": (lambda x: nn.LayerChoice(x, label="a"), but()),
    "LayerChoice candidate": (lambda x: nn.LayerChoice([x], label="a"), but("a module")),
    "LayerChoice label": (lambda x: nn.LayerChoice(OPS, label=x), LABEL),
    "LayerChoice prior": (lambda x: nn.LayerChoice(OPS, "a", x), but("none", "an array")),
    "LayerChoice weights": (lambda x: nn.LayerChoice(OPS, "a", weights=x), but("none", "an array")),
    "InputChoice n_candidates": (lambda x: nn.InputChoice(x), [*WHOLE.split(";"), "none"]),
    "InputChoice n_chosen": (lambda x: nn.InputChoice(3, x), WHOLE.split(";")),
    "InputChoice reduction": (lambda x: nn.InputChoice(2, 1, x), but()),
    "InputChoice label": (lambda x: nn.InputChoice(2, label=x), LABEL),
    "InputChoice prior": (lambda x: nn.InputChoice(2, prior=x), but("none", "an array")),
    "InputChoice choose_from": (
        lambda x: nn.InputChoice(choose_from=x),
        [*TEXTS, *NUMBERS, "bytes", "nan", "none", "an empty list", "an empty dict", "an object",
         "a class"],
    ),
    "Repeat blocks": (lambda x: nn.Repeat(x, 1, "a"), but("a module")),
    "Repeat depth": (lambda x: nn.Repeat(OPS, x, "a"), but()),
    "Repeat low": (lambda x: nn.Repeat(OPS, (x, 2), "a"), but()),
    "Repeat high": (lambda x: nn.Repeat(OPS, (0, x), "a"), but()),
    "Repeat label": (lambda x: nn.Repeat(OPS, (0, 2), x), LABEL),
    "Placeholder name": (lambda x: nn.Placeholder(x), but("text", "a long text")),
    "Cell op_candidates": (lambda x: nn.Cell(x, 1), but()),
    "Cell num_nodes": (lambda x: nn.Cell(OPS, x), but()),
    "Cell num_ops_per_node": (lambda x: nn.Cell(OPS, 1, x), but()),
    "Cell num_predecessors": (lambda x: nn.Cell(OPS, 1, 1, x), but()),
    "Cell merge_op": (lambda x: nn.Cell(OPS, 1, merge_op=x), but()),
    "Cell preprocessor": (
        lambda x: nn.Cell(OPS, 1, preprocessor=x), but("none", "a class", "a module")
    ),
    "Cell postprocessor": (
        lambda x: nn.Cell(OPS, 1, postprocessor=x), but("none", "a class", "a module")
    ),
    "Cell concat_dim": (lambda x: nn.Cell(OPS, 1, concat_dim=x), but("a negative")),
    "Cell label": (lambda x: nn.Cell(OPS, 1, label=x), LABEL),
    "AutoActivation unit_num": (lambda x: nn.AutoActivation(x), but()),
    "AutoActivation unary": (lambda x: nn.AutoActivation(1, x), but("none")),
    "AutoActivation binary": (lambda x: nn.AutoActivation(1, None, x), but("none")),
    "AutoActivation label": (lambda x: nn.AutoActivation(label=x), LABEL),
    "ValueChoice candidates": (lambda x: nn.ValueChoice(x, "a"), [*NO_LIST, "none"]),
    "ValueChoice label": (lambda x: nn.ValueChoice([1, 2], x), LABEL),
    "ValueChoice prior": (lambda x: nn.ValueChoice([1, 2], "a", x), but("none", "an array")),
    "IntChoice low": (lambda x: nn.IntChoice(x, 3), but("a negative")),
    "IntChoice high": (lambda x: nn.IntChoice(0, x), but()),
    "IntChoice step": (lambda x: nn.IntChoice(0, 3, step=x), but()),
    "IntChoice log": (lambda x: nn.IntChoice(1, 3, log=x), but("a bool")),
    "IntChoice label": (lambda x: nn.IntChoice(0, 3, label=x), LABEL),
    "FloatChoice low": (lambda x: nn.FloatChoice(x, 3), but("a negative", "a fraction")),
    "FloatChoice high": (lambda x: nn.FloatChoice(0, x), but("a fraction")),
    "FloatChoice log": (lambda x: nn.FloatChoice(1, 3, log=x), but("a bool")),
    "FloatChoice label": (lambda x: nn.FloatChoice(1, 3, label=x), LABEL),
    "ModelParameterChoice candidates": (
        lambda x: nn.ModelParameterChoice(x, "a"), [*NO_LIST, "none"]
    ),
    "ModelParameterChoice label": (lambda x: nn.ModelParameterChoice([1, 2], x), LABEL),
    "ModelParameterChoice prior": (
        lambda x: nn.ModelParameterChoice([1, 2], "a", x), but("none", "an array")
    ),
    "ModelParameterChoice default": (
        lambda x: nn.ModelParameterChoice([1, 2], "a", default=x),
        but("none", "a bool", "a tensor", "an array", "a class", "a module"),
    ),
    "choice choices": (lambda x: nn.choice("a", x), [*NO_LIST, "none"]),
    "choice label": (lambda x: nn.choice(x, [1, 2]), LABEL),
    "uniform low": (lambda x: nn.uniform("a", x, 3), but("a negative", "a fraction")),
    "loguniform high": (lambda x: nn.loguniform("a", 0.5, x), but("a fraction")),
    "label_scope name": (lambda x: nn.label_scope(x).__enter__(), [*LABEL, "none"]),
}  # fmt: skip


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_what_cannot_be_right_is_one_clear_line(argument, symbolic):
    call, wrong = ARGUMENTS[argument]
    for name in wrong:
        build = nn.symbolic() if symbolic else nullcontext()
        with build, pytest.raises(SpaceError) as raised:
            call(HOSTILE[name])
        said = str(raised.value)
        assert "\n" not in said and 20 < len(said) < 500, (name, said)


class Mute:
    """An object that cannot be shown."""

    def __repr__(self):
        raise ValueError


NAMED = {
    "a value without a repr cannot be a candidate: a sample is plain JSON (finite numbers, "
    "strings, booleans, None, lists, dicts with string keys). Give it a name in a dict of "
    "candidates, or use a LayerChoice for modules.": lambda: nn.ValueChoice([Mute()], "v"),
    "ValueChoice 'v' has the prior {1}; give a list of weights.":
        lambda: nn.ValueChoice([1], "v", prior={1}),
    "An AutoActivation has unit_num '2'; it must be a whole number, at least 1.":
        lambda: nn.AutoActivation(unit_num="2"),
    "Cell 'c' has num_nodes nan; it must be a whole number, at least 1.":
        lambda: nn.Cell(OPS, math.nan, label="c"),
    "ValueChoice 'v' has the candidates 'abc'; give a list.": lambda: nn.ValueChoice("abc", "v"),
    "FloatChoice 'f' has low None; it must be a number.":
        lambda: nn.FloatChoice(None, 1, label="f"),
    "FloatChoice 'f' has log 'yes'; it must be True or False.":
        lambda: nn.FloatChoice(1, 2, log="yes", label="f"),
    "LayerChoice 'l' has the prior 5; give a list of weights.":
        lambda: nn.LayerChoice(OPS, "l", prior=5),
}  # fmt: skip


@pytest.mark.parametrize("message", NAMED)
def test_a_message_names_primitive_label_argument_value_and_rule(message):
    with pytest.raises(SpaceError) as raised:
        NAMED[message]()
    assert str(raised.value) == message


def test_a_label_that_is_no_text_is_named_with_its_line():
    said = r"test_arguments\.py:\d+: the label of a choice is 3; it"
    with pytest.raises(SpaceError, match=said):
        nn.LayerChoice(OPS, label=3)
    with pytest.raises(SpaceError, match=said), nn.label_scope(3):
        pass


SYMBOLIC = {
    "Cell": lambda x: nn.Cell(OPS, x),
    "AutoActivation": lambda x: nn.AutoActivation(x),
    "IntChoice": lambda x: nn.IntChoice(0, x),
    "FloatChoice": lambda x: nn.FloatChoice(0, x),
    "log": lambda x: nn.FloatChoice(1, 3, log=x),
    "InputChoice": lambda x: nn.InputChoice(x),
    "a range of depths": lambda x: nn.Repeat(OPS, (0, x)),
    "a label": lambda x: nn.LayerChoice(OPS, label=x),
    "candidates": lambda x: nn.ValueChoice(x),
}


@pytest.mark.parametrize("case", SYMBOLIC)
def test_a_symbolic_value_is_called_symbolic_rather_than_wrong(case):
    with nn.symbolic(), pytest.raises(SymbolicError, match=r"needs the value of `v`"):
        SYMBOLIC[case](nn.ValueChoice([1, 2], label="v"))


def test_values_of_choices_and_whole_numbers_of_numpy_are_right():
    with nn.sample({"n": 2, "c/op_1_0": 0, "c/input_1_0": [0], "c/op_2_0": 0, "c/input_2_0": [1]}):
        cell = nn.Cell(OPS, nn.ValueChoice([1, 2], label="n"), label="c")
    assert len(cell.ops) == 2 and len(nn.Cell(OPS, numpy.int64(3)).ops) == 3
    for given in (numpy.int64(3), torch.tensor(3)):
        assert type(whole(given, "")) is int
        assert nn.IntChoice(given, 9, step=given, label="i") == 3
        assert nn.InputChoice(given, n_chosen=given, label="p").n_candidates == 3
    assert nn.FloatChoice(numpy.float32(0.5), 1) == 0.5
    assert nn.ValueChoice(range(2, 5)) == 2 and nn.ValueChoice(x for x in (3, 4)) == 3
