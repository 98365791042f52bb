"""Programs as JSON: what was written is what is read, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import GraphError
from runner.fusion.program.program import BatchSize, Program, Step, TensorSpec, Var
from runner.fusion.program.serialization import from_json, to_json
from runner.graph.ir.argument import Ref

variables = st.builds(Var, st.integers(0, 99))
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(),
    st.just(...),
)
leaves = st.one_of(
    plain,
    variables,
    st.builds(BatchSize, st.integers()),
    st.sampled_from([Ref("torch:float32"), Ref("torch:strided")]),
)


def nested(inner):
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner, max_size=3),
        st.builds(slice, inner, inner, inner),
    )


arguments = st.recursive(leaves, nested, max_leaves=8)
names = st.text("abc_", min_size=1, max_size=5)
targets = st.one_of(
    st.tuples(st.just("function"), st.tuples(names, names).map(":".join)),
    st.tuples(st.sampled_from(["module", "method", "tensor"]), st.text()),
)
steps = st.builds(
    lambda what, *rest: Step(*what, *rest),
    targets,
    st.lists(arguments, max_size=3).map(tuple),
    st.dictionaries(names, arguments, max_size=2),
    arguments,
    st.booleans(),
)
shapes = st.lists(st.one_of(st.integers(0, 9), st.builds(BatchSize)), max_size=4).map(tuple)
specs = st.dictionaries(
    variables, st.builds(TensorSpec, shapes, st.sampled_from(["float32", "int64"]))
)
programs = st.builds(Program, st.lists(steps, max_size=3).map(tuple), specs, arguments)


def typed(thing):
    """A thing with all types told: 1 is not True."""
    if isinstance(thing, tuple | list):
        return type(thing), [typed(item) for item in thing]
    if isinstance(thing, dict):
        return [(typed(name), typed(item)) for name, item in thing.items()]
    if isinstance(thing, slice):
        return typed([thing.start, thing.stop, thing.step])
    return type(thing), repr(thing)


@given(programs)
def test_a_program_is_read_as_it_was_written(program):
    again = from_json(json.loads(json.dumps(to_json(program))))
    assert again == program
    for ours, theirs in zip(again.steps, program.steps, strict=True):
        assert typed([ours.args, ours.kwargs, ours.result]) == typed(
            [theirs.args, theirs.kwargs, theirs.result]
        )


def test_not_a_number_survives():
    program = Program((Step("function", "torch:full", ((2,), float("nan"))),), {}, None)
    [step] = from_json(to_json(program)).steps
    assert step.args[1] != step.args[1]


@pytest.mark.parametrize("thing", [frozenset(), print, {1, 2}, range(3)], ids=repr)
def test_an_object_has_no_form(thing):
    with pytest.raises(GraphError, match="no JSON form"):
        to_json(Program((), {}, [thing]))


STEP = ["module", "a", [], {}, {"var": 1}, False]
DAMAGED = {
    "nothing": {},
    "another version": {"version": 2},
    "a text": "program",
    "a step of no kind": {"version": 1, "steps": [["exec", *STEP[1:]]], "specs": [], "result": 1},
    "a function that is none": {
        "version": 1,
        "steps": [["function", "__import__('os')", *STEP[2:]]],
        "specs": [],
        "result": None,
    },
    "a short step": {"version": 1, "steps": [STEP[:4]], "specs": [], "result": None},
    "a kind of argument unknown": {"version": 1, "steps": [], "specs": [], "result": {"call": 1}},
    "a bare list": {"version": 1, "steps": [], "specs": [], "result": [1]},
    "a number that is none": {"version": 1, "steps": [], "specs": [], "result": {"var": "x"}},
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_program_is_refused(data):
    with pytest.raises(GraphError):
        from_json(data)
