"""In a search, graphs are validated: for the first sample, and for each value not seen before."""

import logging

import pytest
import torch
from torch import nn

from runner.config.instantiate import build
from runner.engines import symbolic_graph
from runner.engines.compiler import Compiler
from runner.engines.example import Example
from runner.engines.symbolic_graph import SymbolicGraph
from runner.errors import ConfigError, Refused
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.ir.graph import Note
from runner.nn import sample as building
from runner.space.sample import generator

TRUST = ["validated"]
X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def node(name: str) -> dict[str, str]:
    return {"_target_": f"validated.{name}"}


def space(name: str, shape=(3,), data=None) -> SymbolicGraph:
    return SymbolicGraph(node(name), TRUST, Example(shape, data, TRUST))


@pytest.fixture
def misread(monkeypatch):
    """Has the front end read `+` of one class as `-`, wherever it is a graph."""
    read = symbolic_graph.read

    def reads(model, *given):
        graph = read(model, *given)
        for _, unit in graph.units(cls="Doubles"):
            if unit.grade == "graph":
                for found in unit.forward.nodes:
                    if found.target == "operator:add":
                        found.target = "operator:sub"
                unit.changed = True  # else its class would be imported
        return graph

    monkeypatch.setattr(symbolic_graph, "read", reads)
    monkeypatch.setattr("runner.graph.validation.validated_conversion.read", reads)


def equal(graph, name: str, sample) -> bool:
    """Whether a decided graph computes what the space's Python does."""
    with building(sample):
        model: nn.Module = build(node(name), TRUST)
    twin = load_source(generate(graph, standalone=True), graph.tensors).build()
    twin.load_state_dict(model.state_dict())
    return torch.equal(model(X), twin(X))


def test_a_candidate_that_is_misread_is_kept_when_it_is_first_chosen(misread, caplog):
    made = space("Candidates")
    samples = [{"act": act, "width": 2} for act in ("linear", "doubles", "linear")]
    for sample in samples:
        graph = made.resolved(sample)
        assert equal(graph, "Candidates", sample)
    graph = made.resolved(samples[1])
    assert graph.unit("act").grade == "shell"
    assert graph.root.grade == "graph"
    [note] = [note for note in graph.notes if "it computes something else" in note.text]
    assert note.cls == "Doubles"
    assert made.graph is not None, "the choices of the space stay open"


@pytest.mark.parametrize("width", [3, 6])
def test_choices_are_decided_before_the_graph_of_a_sample_is_validated(width):
    sample = {"width": width, "pick": [1]}
    graph = space("Asking").resolved(sample)
    assert graph.root.grade == "graph" and not graph.notes
    assert equal(graph, "Asking", sample)


@pytest.fixture
def looked(monkeypatch):
    """The graphs that are validated."""
    looked = []
    validate = symbolic_graph.validate

    def counting(graph, *rest, **named):
        looked.append(graph)
        return validate(graph, *rest, **named)

    monkeypatch.setattr(symbolic_graph, "validate", counting)
    return looked


def test_each_value_is_looked_at_once(looked):
    made = space("Candidates")
    for act in ("linear", "doubles"):
        for width in (2, 4, 2):
            made.resolved({"act": act, "width": width})
    assert len(looked) == 3  # the first sample, width 4, doubles


def test_each_combination_of_choices_that_a_branch_depends_on_is_looked_at(looked):
    made = space("Branching")
    for first in (1, 2, 1):
        for second in (1, 2):
            made.resolved({"first": first, "second": second})
    assert len(looked) == 4
    for times in range(3, 40):
        made.resolved({"first": times % 10, "second": times % 9})
    assert len(looked) == 16, "not all hundred"


def test_the_example_is_of_the_data(caplog):
    made = space("Tokens", (5,), {"_target_": "validated.TokenData", "shape": [5], "classes": 4})
    with caplog.at_level(logging.WARNING):
        made.resolved({"width": 2})
    assert not caplog.records


def test_what_does_not_run_on_the_example_is_said_in_one_line(caplog):
    made = space("Tokens", (5,))
    with caplog.at_level(logging.WARNING):
        for width in (2, 4):
            made.resolved({"width": width})
    [record] = caplog.records
    assert record.message.startswith(
        "Graphs of validated.Tokens were not validated, because it does not run on an "
        "example [5, 5]: RuntimeError"
    )


def test_data_that_do_not_load_or_have_another_shape_leave_random_numbers():
    for data in (
        {"_target_": "validated.Broken", "shape": [5], "classes": 4},
        {"_target_": "validated.TokenData", "shape": [6], "classes": 4},
    ):
        [batch] = Example((5,), data, TRUST).inputs
        assert batch is not None
        assert batch.shape[1:] == (5,)
        assert batch.is_floating_point()
        assert torch.equal(batch, *Example((5,)).inputs)


@pytest.mark.parametrize(("held", "error"), [(set(), ConfigError), ({("width", "4")}, Refused)])
def test_a_graph_that_stays_wrong_ends_the_search_or_costs_a_sample(monkeypatch, held, error):
    def wrong(model, keep, check, frontend):
        graph = symbolic_graph.read(model, keep, frontend)
        graph.notes.append(Note("", "Candidates", "It is wrong.", lost=True))
        return graph

    monkeypatch.setattr(symbolic_graph, "converted", wrong)
    made = space("Candidates")
    made._per_sample, made._validated = True, held
    with pytest.raises(error, match=r"It is wrong\. Or run with engine=py"):
        made.resolved({"act": "linear", "width": 2})


@pytest.mark.parametrize("shape", [None, (3,)])
def test_that_mutated_models_cannot_be_run_is_said_once(caplog, shape):
    remove = [
        {"_target_": "runner.mutators.remove.Remove", "on": "linear", "remove": [False, True]}
    ]
    compiler = Compiler(node("Doubles"), remove, TRUST, None, input=shape)
    for place in range(4):
        compiler.compile(compiler.space.random(generator(0, place)))
    said = [record for record in caplog.records if "space.input" in record.getMessage()]
    assert len(said) == (shape is None)
