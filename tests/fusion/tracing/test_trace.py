"""A flattened program computes what its model computes, in both modes and for any batch."""

import copy
from itertools import product

import flat_changes
import flat_toys
import handmade
import passed
import pytest
import torch
import vision
from flat_executor import assert_all_close, execute, run
from torch import Tensor, nn

from runner.engines.compiler import Compiler
from runner.errors import GraphError
from runner.fusion.program.printer import program_text
from runner.fusion.program.program import BatchSize, Var
from runner.fusion.program.serialization import from_json, to_json
from runner.fusion.tracing.trace import flatten
from runner.graph import convert, generate
from runner.graph.codegen.load import load_source
from runner.graph.ir.unit import Ref, Unit
from runner.nn.recording.construction_record import recording
from runner.space.sample import generator

SPACES = {
    "resnet.ResNet": (1, 8, 8),
    "mlp.MLP": (64,),
    "mobilenet.MobileNet": (1, 8, 8),
    "cell.CellNet": (1, 8, 8),
    "transformer.Transformer": (1, 8, 8),
}
MODES = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


def assert_equal(graph, model, shape, *, training, sizes=(2, 5)):
    """The program of a graph is as good as its model; gives the program."""
    program = flatten(graph, shape, training=training)
    assert from_json(to_json(program)) == program
    for size in sizes:
        batch = torch.randn(size, *shape, generator=torch.Generator().manual_seed(size))
        expected = run(lambda m, x: m(x), model, batch, training=training)
        found = run(lambda m, x: execute(program, m, x), model, batch, training=training)
        for ours, theirs in zip(found, expected, strict=True):
            assert_all_close(ours, theirs)
    return program


def read(make):
    """The graph of a model, and the model that its source makes, with the same weights."""
    torch.manual_seed(0)
    with recording():
        model = make()
    graph = convert(model)
    twin = load_source(generate(graph), graph.tensors).build()
    twin.load_state_dict(model.state_dict())
    return graph, twin


def flattened(make, shape, *, training=False, sizes=(2, 5)):
    """The program of a class, held against its model."""
    return assert_equal(*read(make), shape, training=training, sizes=sizes)


def targets(program):
    return [step.target for step in program.steps]


def opaque(program):
    return [step.target for step in program.steps if step.opaque]


# Whole models


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SPACES)
def test_every_sample_of_a_shipped_space_is_followed_everywhere(name):
    shape = SPACES[name]
    compiler = Compiler({"_target_": f"spaces.{name}"}, (), (), shape)
    for i, training in product(range(4), [False, True]):
        decided = compiler.compile(compiler.space.random(generator(0, i)))
        torch.manual_seed(i)
        model = load_source(decided.source.text, decided.graph.tensors).build()
        program = assert_equal(decided.graph, model, shape, training=training)
        assert not opaque(program)
        assert program.specs[program.result].shape == (BatchSize(), 10)


CLASSIFIERS = {
    "resnet18": (lambda m: m.resnet18(num_classes=5), 32),
    "mobilenet_v2": (lambda m: m.MobileNetV2(5, width_mult=0.25), 32),
    "shufflenet_v2": (lambda m: m.ShuffleNetV2([1, 2, 1], [4, 8, 16, 32, 64], 5), 32),
    "densenet": (lambda m: m.DenseNet(4, (2, 2), 8, num_classes=5), 32),
    "swin": (lambda m: m.SwinTransformer([2, 2], 8, [2, 1], [2, 2], [4, 4], num_classes=5), 16),
    "vit": (lambda m: m.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=5), 16),
}


@pytest.mark.sampled(4)
@MODES
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_of_torchvision_run_as_programs(name, training):
    make, size = CLASSIFIERS[name]
    models = vision.torchvision().models
    program = flattened(lambda: make(models), (3, size, size), training=training, sizes=(2,))
    assert len(program.steps) > 10


@MODES
def test_a_graph_made_by_hand_runs_as_its_model(training):
    program = assert_equal(handmade.net_graph(), handmade.Net(), (3, 8, 8), training=training)
    assert not opaque(program)
    assert "operator:iadd" not in targets(program)
    assert ("scale" in targets(program)) == training
    assert "flip" not in targets(program)


def takes_a_batch(program):
    given = program.inputs[0] if len(program.inputs) == 1 else None
    is_batch = isinstance(given, Tensor) and given.dim() > 0 and given.dtype == torch.float32
    return is_batch and not program.named


@pytest.mark.exhaustive
@MODES
@pytest.mark.filterwarnings("ignore")
def test_every_program_of_the_compiler_is_right_or_refused(training):
    """Refused is what does not run on batches of any size, or gives what is no tensor."""
    from programs import PROGRAMS

    followed = []
    for name, case in PROGRAMS.items():
        if not takes_a_batch(case) or name in UNPROMISED:
            continue
        graph, model = read(case.make)
        shape = case.inputs[0].shape[1:]
        sizes = [n for n in (2, 5) if runs(model, (n, *shape), training=training)]
        try:
            program = assert_equal(graph, model, shape, training=training, sizes=sizes)
        except GraphError as refusal:
            assert "has no program" in str(refusal)
        else:
            by_values = name.startswith("conditions.")  # which no program can follow
            followed += [not opaque(program)] if case.grade == "graph" and not by_values else []
    assert sum(followed) > 280
    assert followed.count(False) < 45


UNPROMISED = {"flow.OnSizeThenDtype"}


def runs(model, shape, *, training):
    try:
        copy.deepcopy(model).train(training)(torch.randn(shape))
    except Exception:
        return False
    return True


# What follows the number of examples


def test_numbers_that_follow_the_batch_are_told():
    program = flattened(flat_toys.Reshapes, (3, 4))
    view, ones, *_ = program.steps
    assert view.args == (Var(0), BatchSize(2), 6)
    assert ones.args == ((BatchSize(2), 1),)
    assert program.specs[Var(0)].shape == (BatchSize(), 3, 4)
    assert program.specs[view.result].shape == (BatchSize(2), 6)
    assert ones.kwargs == {"dtype": Ref("torch:float32")}


@pytest.mark.parametrize("name", flat_toys.FOLLOW_SIZE)
def test_what_depends_on_the_batch_otherwise_is_opaque(name):
    program = flattened(
        lambda: flat_toys.Around(flat_toys.FOLLOW_SIZE[name]()), (4,), sizes=(2, 5, 70)
    )
    assert opaque(program) == ["inner"]
    assert targets(program)[0] == "first"


# Nothing is changed in place


@MODES
@pytest.mark.parametrize("name", flat_changes.IN_PLACE)
def test_what_is_done_in_place_becomes_functional(name, training):
    program = flattened(flat_changes.IN_PLACE[name], (4,), training=training)
    assert not opaque(program)
    for step in program.steps:
        assert not step.target.endswith("_")
        assert "out" not in step.kwargs
        assert step.kwargs.get("inplace") is not True


@MODES
@pytest.mark.parametrize("name", flat_changes.SHARED)
def test_changes_that_others_see_make_their_unit_opaque(name, training):
    program = flattened(
        lambda: flat_toys.Around(flat_changes.SHARED[name]()), (4,), training=training
    )
    assert opaque(program) == ["inner"]


def test_a_batch_is_not_changed_by_an_opaque_model():
    program = flattened(flat_changes.SHARED["a view"], (4,))
    assert targets(program) == ["clone", ""]
    batch = torch.randn(3, 4)
    before = batch.clone()
    execute(program, read(flat_changes.SHARED["a view"])[1], batch)
    assert torch.equal(batch, before)


# What cannot be followed


@MODES
@pytest.mark.parametrize("name", flat_toys.OPAQUE)
def test_what_cannot_be_followed_is_one_step(name, training):
    program = flattened(lambda: flat_toys.Around(flat_toys.OPAQUE[name]()), (4,), training=training)
    assert opaque(program) == ["inner"]
    assert targets(program)[0] == "first"
    assert targets(program)[-1] == "last"


def test_what_an_opaque_part_changes_nobody_reads_but_an_opaque_part():
    program = flattened(flat_toys.ReadsWhatChanges, (4,))
    assert opaque(program) == [""]


def test_tensors_in_tuples_and_dicts_come_out_of_opaque_parts():
    program = flattened(flat_toys.Nested, (4,))
    [step] = [step for step in program.steps if step.opaque]
    assert step.result == (Var(2), {"a": Var(3), "b": Var(4)})


def test_a_model_that_gives_numbers_has_no_program():
    with pytest.raises(GraphError, match="has no program"):
        flatten(read(flat_toys.GivesNumber)[0], (4,), training=False)


def test_a_model_that_does_not_fit_says_why():
    with pytest.raises(GraphError, match="mat1 and mat2 shapes cannot be multiplied"):
        flatten(read(lambda: flat_toys.Around(nn.Identity()))[0], (5,), training=False)


# Steps


def test_unused_steps_are_dropped_unless_they_draw_numbers():
    assert targets(flattened(flat_toys.Unused, (4,), training=True)) == ["drop", "norm", "first"]


def test_a_tensor_is_taken_once_and_by_the_path_of_its_owner():
    program = flattened(flat_toys.Tied, (4,))
    assert [s.target for s in program.steps if s.kind == "tensor"] == ["first.weight"]


def test_a_shared_module_has_the_path_where_it_first_stands():
    assert targets(flattened(flat_toys.Shared, (4,))) == ["a", "a", "a"]


def test_several_results_are_vars_nested_as_they_come():
    program = flattened(flat_toys.Several, (6, 4))
    chunk, lstm, *_ = program.steps
    assert chunk.result == (Var(1), Var(2))
    assert lstm.result == (Var(3), (Var(4), Var(5)))


def test_a_model_that_is_one_layer_is_one_step():
    [step] = flattened(lambda: nn.Linear(4, 2), (4,)).steps
    assert (step.kind, step.target, step.opaque) == ("module", "", False)


def test_a_program_prints_a_line_for_each_step():
    assert program_text(flattened(flat_toys.Reshapes, (3, 4))).splitlines() == [
        "%1: float32[2*N, 6] = %0.view(2*N, 6)",
        "%2: float32[2*N, 1] = torch.ones((2*N, 1), dtype=torch.float32)",
        "%3: float32[2*N, 6] = operator.add(%1, %2)",
        "give %3",
    ]


def test_an_undecided_graph_is_refused():
    graph = handmade.net_graph()
    graph.root.set_child("fc", Unit("symbolic", Ref("runner.nn:LayerChoice")))
    with pytest.raises(GraphError, match="is symbolic"):
        flatten(graph, (3, 8, 8), training=False)


def test_random_numbers_are_left_as_they_were():
    graph, _ = read(lambda: flat_toys.Around(flat_toys.OPAQUE["a condition on data"]()))
    state = torch.get_rng_state()
    flatten(graph, (4,), training=True)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("training", [False, True])
def test_a_unit_that_is_passed_on_is_called_by_the_model(training):
    program = flatten(passed.passing_graph(), (4,), training=training)
    assert [(step.target, step.opaque) for step in program.steps] == [("", True)]
