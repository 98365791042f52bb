"""References by identity: ties, first values and edits stay with their units, wherever these go."""

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.graph import generate, lint, load_source
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Edit, Ref, Start, Unit
from runner.graph.transforms.duplicate import duplicate_unit
from runner.graph.transforms.reconstruct import reconstruct_unit

NAMES = ("a", "b", "c", "inner.d", "inner.e", "inner.f")
TIES = (("b", "a"), ("inner.d", "a"), ("inner.f", "inner.e"))


def layer() -> Unit:
    return Unit.of("torch.nn:Linear", 3, 3)


def marked_graph() -> Graph:
    """Layers that each know, in their facts, what is done to them: a bias of their number, the
    name of the tensor that their weight is, and a note in an attribute."""
    root = Unit("graph", Ref("torch.nn:Sequential"))
    root.set_child("inner", Unit("graph", Ref("torch.nn:Sequential")))
    for number, path in enumerate(NAMES, start=1):
        owner = root.at(path.rpartition(".")[0])
        owner.set_child(path.rpartition(".")[2], layer())
        unit = root.at(path)
        unit.facts = {"number": number, "weight": dict(TIES).get(path, path)}
        above = owner if number % 2 else root
        above.starts.append(Start(unit, "bias", "torch.nn.init:constant_", (number,)))
        above.edits.append(Edit(unit, "", "note", number))
    graph = Graph(root)
    graph.ties = [(f"{one}.weight", f"{other}.weight") for one, other in TIES]
    return graph


# Each takes a graph and the path of a layer, and a free name


def replace(graph: Graph, path: str, name: str) -> None:
    graph.replace(path, layer())


def wrap(graph: Graph, path: str, name: str) -> None:
    graph.replace(path, Unit.of("torch.nn:Sequential", layer(), graph.unit(path)))


def remove(graph: Graph, path: str, name: str) -> None:
    graph.remove(path)


def insert(graph: Graph, path: str, name: str) -> None:
    graph.unit(path.rpartition(".")[0]).set_child(name, layer())


def duplicate(graph: Graph, path: str, name: str) -> None:
    is_tied = f"{path}.weight" in {one for one, _ in graph.ties}
    twin = duplicate_unit(graph, path, name)
    if not is_tied:  # to an owner: a weight of its own
        twin.facts.pop("weight", None)


def change(graph: Graph, path: str, name: str) -> None:
    reconstruct_unit(graph, path, {"bias": True})


def move(graph: Graph, path: str, name: str) -> None:
    above, _, old = path.rpartition(".")
    children = graph.unit(above).children
    children[name] = children.pop(old)


OPERATIONS: list[Callable[[Graph, str, str], None]] = [
    replace, wrap, remove, insert, duplicate, change, move,
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 50), st.booleans()),
                max_size=8))  # fmt: skip
def test_references_follow_their_units_through_random_edits(steps) -> None:
    graph = marked_graph()
    for (operation, place, copied), number in zip(steps, count()):
        layers = [path for path, _ in graph.units(cls="Linear")]
        if layers:
            operation(graph, layers[place % len(layers)], f"new{number}")
        graph = graph.copy() if copied else graph
        graph.tidy()
    lint(graph, decided=True)
    model = load_source(generate(graph), graph.tensors).build()
    weights: dict[object, set[int]] = {}
    for path, unit in graph.units(cls="Linear"):
        module = model.get_submodule(path)
        if "number" in unit.facts:
            assert module.bias.tolist() == [unit.facts["number"]] * 3
            assert module.note == unit.facts["number"]
        weights.setdefault(unit.facts.get("weight", unit), set()).add(id(module.weight))
    assert all(len(same) == 1 for same in weights.values())
    assert len({*map(min, weights.values())}) == len(weights)
