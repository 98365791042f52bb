"""The contract of shipped spaces: any sample, any size, the same model everywhere."""

import ast
import inspect
import itertools
import sys
import warnings
from pathlib import Path
from random import Random

import pytest
import torch
from omegaconf import OmegaConf

from runner import nn
from runner.config.check_arguments import check_arguments
from runner.config.targets import locate
from runner.errors import ConfigError

ROOT = Path(__file__).parents[2]
SPACES = (ROOT / "conf" / "space").glob("*.yaml")
# Mutate is of any model; the others describe architectures of a table.
OTHERS = {"mutate", "nasbench201", "nasbench_graph"}
NAMES = sorted(path.stem for path in SPACES if path.stem not in OTHERS)
SIZES = [((1, 8, 8), 10), ((3, 32, 32), 100)]

sized = pytest.mark.parametrize(("shape", "classes"), SIZES, ids=str)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def node(name):
    """The option as its YAML gives it, interpolations as text."""
    option = OmegaConf.load(ROOT / "conf" / "space" / f"{name}.yaml")
    return OmegaConf.to_container(option, resolve=False)


@pytest.fixture
def space(node):
    return locate(node["_target_"])


def drawn(space, seed, *args, **kwargs):
    """A model and its sample, from a seed; 0 is the default model."""
    rng = Random(seed)
    with nn.draw(lambda choice: choice.random(rng) if seed else choice.default) as sample:
        model = space(*args, **kwargs)
    return model, sample


def shapes(model):
    return {key: tensor.shape for key, tensor in model.state_dict().items()}


@sized
def test_default_model_can_learn(space, shape, classes):
    model, _ = drawn(space, 0, shape, classes)
    assert shapes(model) == shapes(space(shape, classes)), "without a context: first candidates"
    output = model(torch.randn(2, *shape))
    assert output.shape == (2, classes)
    output.square().sum().backward()
    for name, weight in model.named_parameters():
        if weight.grad is None:
            assert name.startswith("cells."), "a cell may leave one of its inputs unread"
        else:
            assert weight.grad.isfinite().all()


@sized
def test_any_sample_is_a_working_model_and_always_the_same_one(space, shape, classes):
    x = torch.randn(2, *shape)
    for seed in range(1, 21):
        model, sample = drawn(space, seed, shape, classes)
        with torch.no_grad():
            assert model(x).shape == (2, classes)
        with nn.sample(sample, strict=True) as asked:
            again = space(shape, classes)
        assert asked == sample
        assert list(asked) == list(sample)
        assert list(shapes(again).items()) == list(shapes(model).items())


def test_meta_device_gives_the_same_samples(space):
    for seed in range(5):
        model, sample = drawn(space, seed)
        with torch.device("meta"):
            ghost, same = drawn(space, seed)
        assert same == sample
        assert shapes(ghost) == shapes(model)
        assert all(tensor.is_meta for tensor in ghost.state_dict().values())


def test_unused_candidates_are_not_asked_about(space):
    labels = [frozenset(drawn(space, seed)[1]) for seed in range(20)]
    assert len(set(labels)) > 1 or space.__name__ == "CellNet"  # its cells have a fixed size


@pytest.mark.parametrize("seed", range(3))
def test_torchscript_compiles_models(space, seed):
    model, _ = drawn(space, seed)
    model.eval()
    x = torch.randn(2, 1, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(model)
    with torch.no_grad():
        torch.testing.assert_close(scripted(x), model(x))


@pytest.mark.parametrize("option", ["resnet", "cell", "mobilenet"])
def test_odd_sizes_fit(option):
    node = OmegaConf.load(ROOT / "conf" / "space" / f"{option}.yaml")
    for seed, size in itertools.product(range(4), (5, 7, 9)):
        model, _ = drawn(locate(node["_target_"]), seed, (1, size, size), 3)
        assert model(torch.randn(2, 1, size, size)).shape == (2, 3)


def test_yaml_is_the_menu_of_the_constructor(node, space):
    parameters = inspect.signature(space).parameters
    assert list(node) == ["_target_", *parameters, "mutators"]
    assert node.pop("mutators") == []
    assert node.pop("shape") == "${data.shape}"
    assert node.pop("classes") == "${data.classes}"
    del node["_target_"]
    defaults = {key: parameters[key].default for key in node}
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in defaults.items()}
    assert plain == node


def test_config_is_checked_against_the_signature(node):
    node |= {"shape": [1, 8, 8], "classes": 10}
    del node["mutators"]
    check_arguments(node, (), "space")
    key = next(key for key, value in node.items() if isinstance(value, list) and key != "shape")
    with pytest.raises(ConfigError, match=rf"space\.{key}\[0\] is 'nonsense'"):
        check_arguments(node | {key: ["nonsense"]}, (), "space")


def test_yaml_is_short(name):
    lines = (ROOT / "conf" / "space" / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) < 25


def test_module_imports_torch_and_runner_nn_only(name):
    tree = ast.parse((ROOT / "spaces" / f"{name}.py").read_text())
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ImportFrom) and statement.module == "runner":
            assert [alias.name for alias in statement.names] == ["nn"]
            continue
        if isinstance(statement, ast.ImportFrom):
            names = [statement.module]
        elif isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            continue
        roots = {module.split(".")[0] for module in names}
        assert roots <= {"torch", *sys.stdlib_module_names}


@pytest.mark.parametrize("seed", range(5))
def test_mlp_takes_flat_inputs_and_gives_a_column_for_one_output(seed):
    model, _ = drawn(locate("spaces.mlp.MLP"), seed, (10,), 1)
    assert model(torch.randn(4, 10)).shape == (4, 1)


def test_transformer_refuses_sizes_that_do_not_divide():
    transformer = locate("spaces.transformer.Transformer")
    with pytest.raises(ValueError, match="3 heads do not divide a width of 32"):
        transformer(widths=[32], heads=[3])
    with pytest.raises(ValueError, match="9x8 do not fall into patches of 2x2"):
        transformer(shape=(1, 9, 8))


def test_cells_of_a_kind_share_their_choices():
    few, sample = drawn(locate("spaces.cell.CellNet"), 1, stages=2, cells=1)
    many, same = drawn(locate("spaces.cell.CellNet"), 1, stages=3, cells=2)
    assert same.keys() == sample.keys()
    assert len(many.cells) == 8 > len(few.cells) == 3
    assert {label.split("/")[0] for label in sample} == {"normal", "reduction"}


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_resnet_stem_strides(stride):
    for seed in range(3):
        model, _ = drawn(locate("spaces.resnet.ResNet"), seed, (3, 32, 32), stem_stride=stride)
        assert model.stem(torch.randn(2, 3, 32, 32)).shape == (2, 16, 32 // stride, 32 // stride)
