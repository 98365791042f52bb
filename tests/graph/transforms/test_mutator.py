"""Mutators: what they ask, what they change, and what they may get wrong."""

import mutable
import pytest
import torch
from torch import nn

from runner.errors import GraphError, Refused, SampleError
from runner.graph import convert, recording
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.graph.transforms.mutator import Mutator, drop_placeholders, mutate
from runner.space.choice import Categorical
from runner.space.sample import Walk, lookup


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.b(self.a(x)))


@pytest.fixture
def graph() -> Graph:
    with recording():
        return convert(Small())


def run(graph: Graph, *mutators: Mutator, sample: dict | None = None) -> Walk:
    walk = Walk((lambda choice: choice.default) if sample is None else lookup(sample))
    mutate(graph, mutators, walk)
    return walk


def doing(change) -> Mutator:
    """A mutator that is one function."""

    class Does(Mutator):
        def mutate(self, graph: Graph) -> None:
            change(self, graph)

    return Does()


def test_choices_without_a_label_are_numbered_below_the_mutators_name(graph):
    ask = doing(lambda self, graph: [self.choice([1, 2]), self.choice({"x": nn, "y": None})])
    again = doing(lambda self, graph: self.choice([object(), object()]))
    walk = run(graph, ask, again)
    assert walk.sample == {"Does/1": 1, "Does/2": "x", "Does2/1": 0}
    assert graph.history == ["Does: Does/1=1, Does/2='x'", "Does2: Does2/1=0"]


def test_a_mutator_asks_only_while_it_mutates(graph):
    mutator = mutable.Looks()
    run(graph, mutator)
    with pytest.raises(GraphError, match="Looks can ask for choices only while it mutates"):
        mutator.ask(Categorical("x", (1, 2)))


def test_an_exception_names_the_mutator_the_sample_and_the_line(graph):
    with pytest.raises(Refused) as caught:
        run(graph, mutable.Breaks(), sample={"breaks": True})
    text = str(caught.value)
    assert "Breaks raised ValueError: boom" in text
    assert "mutable.py:" in text
    assert "{'breaks': True}" in text
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_line_is_that_of_the_mutator_where_something_below_raises(graph):
    def change(self, graph):
        torch.ones(2) @ torch.ones(3)  # raised in torch

    with pytest.raises(Refused, match=r"test_mutator.py:\d+\)"):
        run(graph, doing(change))


def test_a_graph_error_refuses_the_sample_in_the_mutators_words(graph):
    with pytest.raises(Refused, match="Careful does not fit: There is nothing to be absurd"):
        run(graph, mutable.Careful(), sample={"absurd": True})


def test_a_mutator_that_asks_differently_is_told_so(graph):
    with pytest.raises(SampleError, match="Forgets asks for it; a mutator must ask the same"):
        run(graph, mutable.Forgets(), sample={"question 0": 1})


def test_looking_leaves_no_trace(graph):
    before = {name: unit.functions.get("forward") for name, unit in graph.root.walk()}
    run(graph, mutable.Looks())
    assert before == {name: unit.functions.get("forward") for name, unit in graph.root.walk()}
    assert not any(unit.mutated for _, unit in graph.root.walk())


def test_what_is_changed_by_hand_takes_its_ties_and_starts_with_it(graph):
    def change(self, graph):
        graph.root.children["a"] = Unit.of("torch.nn:Linear", 4, 4)

    assert graph.ties
    run(graph, doing(change))
    assert graph.ties == ()


def test_a_tie_that_a_mutator_makes_stays(graph):
    def change(self, graph):
        graph.replace("b", Unit.of("torch.nn:Linear", 4, 4))
        graph.ties = [("b.weight", "a.weight")]

    run(graph, doing(change))
    assert graph.ties == (("b.weight", "a.weight"),)


def test_only_what_a_mutator_changed_is_marked_so(graph):
    def change(self, graph):
        graph.unit("a").set_argument("bias", False)
        graph.replace("b", Unit.of("torch.nn:Identity"))

    run(graph, doing(change))
    assert [path for path, unit in graph.root.walk() if unit.mutated] == ["a", "b"]
    assert graph.root.changed


def test_an_identity_in_the_place_of_a_placeholder_is_no_mutation():
    with recording():
        graph = convert(mutable.Block(4))
    drop_placeholders(graph)
    assert graph.unit("spot").name == "Identity"
    assert not any(unit.mutated for _, unit in graph.root.walk())
