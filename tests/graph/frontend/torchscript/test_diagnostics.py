"""A note quotes what is wrong, in words of the source."""

import re

import pytest
from torch import nn

from runner.graph.frontend.convert import convert
from runner.graph.frontend.torchscript.diagnostics import problem_of
from runner.nn.recording.construction_record import recording


class Rest(nn.Module):
    def forward(self, *xs, **named):
        return xs[0]


class CallsRest(nn.Module):
    def __init__(self):
        super().__init__()
        self.rest = Rest()

    def forward(self, x):
        return self.rest(x)


class Settings:
    FACTOR = 3


class ClassAttribute(nn.Module):
    def __init__(self):
        super().__init__()
        self.settings = Settings()

    def forward(self, x):
        return x * self.settings.FACTOR


class ForeignObject(nn.Module):
    def __init__(self):
        super().__init__()
        self.thing = object()

    def forward(self, x):
        return x if self.thing else -x


class HoldsLambda(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = lambda x: x * 2

    def forward(self, x):
        return self.scale(x)


class Super(CallsRest):
    def forward(self, x):
        return super().forward(x)


class Sums(nn.Module):
    def forward(self, x):
        return sum(part for part in x)


class Missing(nn.Module):
    def forward(self, x):
        return self.missing(x)


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (CallsRest, "it calls a Rest, whose forward takes *xs and **named"),
        (ClassAttribute, ".Settings' object has no attribute or method 'FACTOR'"),
        (ForeignObject, "self.thing has the type object, which TorchScript does not support"),
        (HoldsLambda, "self.scale is a lambda, which TorchScript does not support"),
        (Super, "TorchScript does not support super()"),
        (Sums, "aten::sum.dim_IntList: Expected a value of type 'Tensor' for argument 'self'"),
        (Missing, "Module 'Missing' has no attribute 'missing'. Kept"),
    ],
)
def test_the_note_says_what_is_wrong_and_where(cls, text):
    with recording():
        model = cls()
    graph = convert(model, frontend="torchscript")
    note = str(next(note for note in graph.notes if note.path == ""))
    assert re.search(r"cannot be converted\. torchscript: test_diagnostics\.py:\d+: ", note), note
    assert text in note
    assert not re.search(r"__torch__|mangle|0x|\.\.|->|compilation unit", note), note


def test_no_line_of_torchs_own_is_named():
    text = f'Comprehension ifs are not supported yet:\n  File "{nn.__file__}", line 7\n'
    assert problem_of(RuntimeError(text)) == "Comprehension ifs are not supported yet"
