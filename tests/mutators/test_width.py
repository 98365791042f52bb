"""Width: one choice for layers that change together, and what follows."""

import pytest
import widening

from runner.errors import ConfigError, Refused
from runner.graph import convert, generate, recording
from runner.graph.codegen.load import load_source
from runner.graph.ir.graph import Graph
from runner.graph.transforms.mutator import mutate
from runner.mutators.depth import Depth
from runner.mutators.width import Width
from runner.space.sample import Walk, lookup


def graph_of(cls=widening.Residual) -> Graph:
    with recording():
        graph = convert(cls())
    graph.example = (3, 8, 8)
    return graph


def mutated(width: Width, graph: Graph | None = None, **answers: float) -> tuple[Graph, Walk]:
    """A graph that was mutated, with answers by path; others are the first candidates."""
    graph = graph_of() if graph is None else graph
    given = {f"width/{path}": value for path, value in answers.items()}
    walk = Walk(lambda choice: given.get(choice.label, choice.default))
    mutate(graph, [width], walk)
    return graph, walk


def model_of(graph: Graph):
    return load_source(generate(graph), graph.tensors).build()


def test_layers_that_change_together_are_one_choice_by_the_name_of_the_first():
    _, walk = mutated(Width([1.0, 0.5], cls="Conv2d"))
    assert [*walk.sample] == ["width/stem", "width/inner"]


def test_the_name_is_that_of_the_first_layer_that_is_matched():
    _, walk = mutated(Width([1.0, 0.5], on="outer"))
    assert [*walk.sample] == ["width/outer"]


def test_each_group_has_its_own_width():
    graph, _ = mutated(Width([1.0, 0.5, 2.0], cls="Conv2d"), stem=0.5, inner=2.0)
    model = model_of(graph)
    assert (model.stem.out_channels, model.inner.out_channels, model.head.in_features) == (4, 32, 4)


def test_tied_groups_are_one_choice():
    graph, walk = mutated(Width([0.5, 1.0], cls="Conv2d", tie=True))
    assert [*walk.sample] == ["width/Conv2d"]
    assert (graph.unit("stem").call.args[1], graph.unit("inner").call.args[1]) == (4, 8)


def test_a_single_factor_is_no_choice():
    graph, walk = mutated(Width(0.5, on="inner"))
    assert walk.sample == {} and model_of(graph).inner.out_channels == 8


def test_numbers_of_channels_are_rounded_to_a_multiple():
    graph, _ = mutated(Width(0.6, on="inner"))
    assert model_of(graph).inner.out_channels == 10
    graph, _ = mutated(Width(0.6, on="inner", multiple=4))
    assert model_of(graph).inner.out_channels == 8
    graph, _ = mutated(Width(0.01, on="inner", multiple=4))
    assert model_of(graph).inner.out_channels == 4


def test_numbers_of_channels_are_such_that_all_layers_of_a_group_change_alike():
    graph, _ = mutated(Width(0.5, on="qkv"), graph_of(widening.Thirds))
    model = model_of(graph)
    assert (model.qkv.out_features, model.scale.shape) == (12, (4,))  # of 21 and 7


def test_what_has_no_width_of_its_own_is_passed_over_where_others_match():
    _, walk = mutated(Width([1.0, 0.5], on="**"), graph_of(widening.Depthwise))
    assert [*walk.sample] == ["width/expand", "width/grouped"]  # and not head, which is the output


def test_a_match_without_a_width_is_refused_with_advice():
    with pytest.raises(Refused, match="norm: no match has a width of its own; name"):
        mutated(Width(0.5, on="norm"))


def test_a_width_that_cannot_change_is_refused_with_the_reason():
    words = r"head cannot have another width. If it .*: The model would return \[5, 10\] instead of"
    with pytest.raises(Refused, match=words):
        mutated(Width(0.5, on="head"))


def test_a_graph_without_an_example_is_refused_with_advice():
    graph = graph_of()
    graph.example = None
    with pytest.raises(Refused, match=r"set space.input, for example to \[3, 32, 32\]"):
        mutated(Width(0.5, on="stem"), graph)


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (0, "width is 0; it must be a factor above 0"),
        ([0.5, -1], "width is -1; it must be a factor above 0"),
        ([0.5, True], "width is true; it must be"),
        ("half", "width is 'half'; it must be"),
        ([], "width: the list of candidates is empty"),
        ([0.5, 0.5], "width lists a candidate twice: 0.5"),
    ],
)
def test_factors_are_checked(width, words):
    with pytest.raises(ConfigError, match=words):
        Width(width, on="stem")


def test_a_multiple_is_checked():
    with pytest.raises(ConfigError, match="multiple is 0; it must be at least 1"):
        Width(0.5, on="stem", multiple=0)


def test_places_are_those_that_can_change():
    graph = graph_of()
    seen = []
    width = Width([1.0], on="**")
    mutate(graph, [width], Walk(lambda c: c.default), watch=lambda m, g: seen.extend(m.places(g)))
    assert seen == ["stem", "inner"]


def test_the_groups_of_a_graph_are_found_once(monkeypatch):
    width = Width([1.0, 0.5], cls="Conv2d")
    graph = graph_of()
    first, _ = mutated(width, graph.copy(), stem=0.5)
    monkeypatch.setattr("runner.mutators.width.Resizing", None)
    again, _ = mutated(width, graph.copy(), stem=0.5)
    assert generate(first) == generate(again)


def test_a_graph_remembers_what_sets_its_widths():
    graph, _ = mutated(Width([0.5, 1.0], on="inner"))
    [[source]] = graph.widths.values()
    assert (source.path, source.kind, source.place) == ("inner", "layer", ("out_channels",))


def test_what_an_earlier_mutator_dropped_is_not_asked_for():
    with recording():
        graph = convert(widening.Stack())
    graph.example = (3, 8, 8)
    sample = {"depth/blocks": 1, "width/blocks.0.inner": 0.5}
    walk = Walk(lookup(sample))
    mutate(graph, [Depth(depth=[2, 1], on="blocks"), Width([1.0, 0.5], on="blocks.*.inner")], walk)
    assert walk.sample == sample
    assert model_of(graph).blocks[0].inner.out_channels == 4


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -1.0, True])
def test_a_factor_must_be_a_finite_number_above_0(factor):
    with pytest.raises(ConfigError, match="it must be a factor above 0"):
        Width([1.0, factor], on="stem")
