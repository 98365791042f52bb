"""A module is read by the first front end that can, and kept only if none can."""

import pytest
import torch
from fake_frontends import Fake, calls, method, runs
from torch import nn

from runner.errors import GraphError
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend import convert as conversion
from runner.graph.frontend.convert import convert
from runner.graph.frontend.live_modules.kept_modules import Keep, class_name
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.nn.recording.construction_record import recording


class Doubles(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.factor = 2

    def forward(self, x):
        return x * self.factor

    def twice(self, x):
        return self.forward(self.forward(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Doubles()
        self.second = Doubles()

    def forward(self, x):
        return self.second(self.first(x))


X = torch.arange(6.0).reshape(3, 2)
DOUBLES, NET = calls("operator:mul", 2), runs("first", "second")


@pytest.fixture
def read_by(monkeypatch):
    """Has two front ends read, in this order."""

    def install(one: Fake, other: Fake) -> None:
        monkeypatch.setattr(conversion, "usable", lambda frontend: ("one", "other"))
        monkeypatch.setattr(conversion, "FRONTENDS", {"one": one, "other": other})

    return install


def net() -> Net:
    with recording():
        return Net()


def converted(keep: Keep | None = None) -> tuple[Graph, dict[str, str]]:
    """The graph, checked, and which front end read each unit with code."""
    graph = convert(net(), keep)
    lint(graph)
    found = {path: unit.provenance.frontend for path, unit in graph.root.walk() if unit.functions}
    return graph, found


def test_the_second_front_end_is_not_asked_in_vain(read_by):
    one, other = Fake(Net=[NET], Doubles=[DOUBLES]), Fake()
    read_by(one, other)
    graph, found = converted()
    assert found == {"": "one", "first": "one", "second": "one"} and not graph.notes
    assert (one.asked, other.asked) == (1, 0)


def test_what_the_first_cannot_read_is_read_by_the_second(read_by):
    one = Fake(Net=[NET], Doubles="net.py:3: it has stars")
    other = Fake(Doubles=[DOUBLES], Net="net.py:9: it is not asked")
    read_by(one, other)
    graph, found = converted()
    assert found == {"": "one", "first": "other", "second": "other"}
    assert [str(note) for note in graph.notes] == [
        f"{path} (Doubles): Read by other. one: net.py:3: it has stars."
        for path in ("first", "second")
    ]
    assert (one.asked, other.asked) == (1, 1)


def test_what_none_can_read_is_kept_with_what_each_said(read_by):
    read_by(Fake(Net=[NET], Doubles="net.py:3: it has stars"), Fake(Doubles="net.py:4: it yields"))
    graph, found = converted()
    assert found == {"": "one"} and graph.unit("first").grade == "shell"
    assert graph.notes[0].text == (
        "Its forward cannot be converted. one: net.py:3: it has stars; other: net.py:4: it yields. "
        "Kept as a shell: its children can be mutated, its forward cannot. To mutate inside, write "
        "that part of its forward differently; to silence, decorate Doubles with @basic_unit."
    )


def test_a_reading_that_is_distrusted_is_not_used(read_by):
    read_by(Fake(Net=[NET], Doubles=[DOUBLES]), Fake(Doubles=[calls("torch:add", 0)]))
    keep = Keep(class_name)
    assert keep.distrust(Doubles(), "one", "net.py:3: it computes something else")
    assert not keep.distrust(Doubles(), "one", "again")
    graph, found = converted(keep)
    assert found == {"": "one", "first": "other", "second": "other"}
    assert "Read by other. one: net.py:3: it computes something else." in graph.notes[0].text
    assert keep.distrust(Doubles(), "other", "net.py:3: it computes nothing")
    graph, found = converted(keep)
    assert found == {"": "one"} and graph.unit("first").grade == "shell"


def test_a_method_that_the_other_front_end_calls_is_added(read_by):
    reads_factor = method(
        lambda f, x: f.call_function("operator:mul", x, f.get_attr("factor")), "twice"
    )
    one = Fake(Net="net.py:1: no", Doubles=[DOUBLES])
    other = Fake(Net=[runs("first:twice", "second")], Doubles=[calls("torch:relu"), reads_factor])
    read_by(one, other)
    graph, found = converted()
    assert found == {"": "other", "first": "one", "second": "one"}
    first, second = graph.unit("first"), graph.unit("second")
    assert [*first.functions] == ["forward", "twice"] and [*second.functions] == ["forward"]
    assert first.attributes == {"factor": 2} and not second.attributes
    model = load_source(generate(graph, standalone=True), graph.tensors).build()
    assert torch.equal(model(X), X * 4)


def test_a_call_of_a_method_that_nobody_reads_costs_its_caller(read_by):
    one = Fake(Net="net.py:1: no", Doubles=[DOUBLES])
    read_by(one, Fake(Net=[runs("first:twice", "second")], Doubles="net.py:3: no"))
    graph, found = converted()
    assert graph.root.grade == "shell" and found == {"first": "one", "second": "one"}
    assert "other: it calls twice() of a Doubles, which cannot be converted" in graph.notes[0].text


def test_what_no_chosen_reading_uses_is_not_in_the_graph(read_by):
    one, other = Fake(Net=[NET], Doubles="net.py:3: no"), Fake(Doubles=[calls(":shift")])
    one.free, one.stored = {"mine": calls("torch:relu", name="mine")}, {"t0": torch.ones(99)}
    free = {"shift": ":inner", "inner": "torch:relu", "idle": ":inner"}
    other.free = {name: calls(target, name=name) for name, target in free.items()}
    read_by(one, other)
    graph, _ = converted()
    assert [*graph.functions] == ["shift", "inner"] and not graph.tensors


class Broken(Fake):
    def read(self, model, functions, tensors):
        raise KeyError("lost")


def test_a_front_end_that_fails_leaves_the_model_to_the_others(read_by):
    read_by(Broken(), Fake(Net=[NET], Doubles=[DOUBLES]))
    graph, found = converted()
    assert {*found.values()} == {"other"}
    assert graph.notes[0].text == "Read by other. one: KeyError: 'lost'."


def test_an_error_of_all_front_ends_is_raised(read_by):
    read_by(Broken(), Broken())
    with pytest.raises(GraphError, match="Net cannot be converted: KeyError: 'lost'"):
        convert(net())
