"""Facts about operators are what torch does."""

import inspect
import operator

import pytest
import torch

from runner.graph.ir.effects import WRITE, of_function, of_method
from runner.operators import (
    _facts_by_name,
    acts,
    attribute_shares,
    function_facts,
    is_in_place,
    is_random,
    method_facts,
)

# Names of operators with a view in a schema, and of composites whose schemas say nothing of it
VIEWS = sorted({
    schema.name.removeprefix("aten::")
    for schema in torch._C._jit_get_all_schemas()
    if schema.name.startswith("aten::") and not schema.name.endswith("_")
    if any(a.type.kind() == "TensorType" for a in schema.arguments)
    if any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
})  # fmt: skip
UNSAID = ("atleast_1d atleast_2d atleast_3d broadcast_tensors cartesian_prod conj_physical einsum "
          "feature_dropout alpha_dropout feature_alpha_dropout meshgrid sum_to_size to_dense "
          "dropout type_as unsafe_chunk unsafe_split channel_shuffle")  # fmt: skip
FRESH = ("add mul matmul linear relu tanh sigmoid softmax cat stack clone where conv2d max_pool2d "
         "batch_norm layer_norm group_norm flip roll sum mean exp masked_fill nan_to_num tile "
         "cumsum embedding index_select gather repeat zeros_like scaled_dot_product_attention "
         "repeat_interleave one_hot square norm std")  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_that_a_schema_names_shares_memory(name):
    assert function_facts(f"torch:{name}").shares != "never"
    if hasattr(torch.Tensor, name) and callable(getattr(torch.Tensor, name)):
        assert method_facts(name).shares != "never"


@pytest.mark.parametrize("name", UNSAID.split())
def test_what_shares_memory_and_does_not_say_so_is_found_by_running_it(name):
    assert function_facts(f"torch:{name}").shares != "never"


@pytest.mark.parametrize("name", FRESH.split())
def test_what_makes_a_new_tensor_is_known_to(name):
    homes = [home for home in ("torch", "torch.nn.functional")
             if hasattr(torch if home == "torch" else torch.nn.functional, name)]  # fmt: skip
    for home in homes:
        facts = function_facts(f"{home}:{name}")
        statistics = {"running_mean", "running_var"} if name == "batch_norm" else set()
        written = {key for key in facts.writes if isinstance(key, str)} - {"out"}
        assert (facts.shares, facts.is_known, written) == ("never", True, statistics)
        assert facts.always_writes == (name == "batch_norm")


NORMS = ["torch.nn.functional:batch_norm", "torch.nn.functional:instance_norm", "torch:batch_norm",
         "torch:batch_norm_update_stats", "torch:native_batch_norm"]  # fmt: skip


@pytest.mark.parametrize("target", NORMS)
def test_running_statistics_are_written_though_no_schema_says_so(target):
    facts = function_facts(target)
    home, _, name = target.partition(":")
    if home == "torch.nn.functional":
        names = [*inspect.signature(getattr(torch.nn.functional, name)).parameters]
    else:
        (schema,) = [s for s in torch._C._jit_get_schemas_for_operator(f"aten::{name}")
                     if not any(a.is_out for a in s.arguments)]  # fmt: skip
        names = [argument.name for argument in schema.arguments]
    assert {names[key] for key in facts.writes if isinstance(key, int)} == {
        "running_mean", "running_var"}  # fmt: skip
    assert acts(target)


@pytest.mark.parametrize("target", ["torch:lobpcg", "torch.cuda:manual_seed_all",
                                    "torch.utils.checkpoint:checkpoint"])  # fmt: skip
def test_code_of_torch_in_python_is_unknown(target):
    assert not function_facts(target).is_known
    assert acts(target)


def test_an_operator_of_a_library_may_be_defined_anew():
    target = "torch:ops.runner_tests.shift"
    assert acts(target)
    with torch.library._scoped_library("runner_tests", "FRAGMENT") as library:
        library.define("shift(Tensor x) -> Tensor")
        library.impl("shift", lambda x: x + 1, "CPU")
        assert function_facts(target).writes == frozenset()
    assert not function_facts(target).is_known


@pytest.mark.parametrize(
    "name", sorted(name for name in dir(torch.Tensor) if name.endswith("_") and name[0] != "_")
)
def test_a_method_that_works_in_place_writes_its_receiver(name):
    facts = method_facts(name)
    assert 0 in facts.writes and facts.shares == "always"


def test_other_writes_are_known():
    assert 0 in function_facts("operator:iadd").writes
    assert 0 in function_facts("operator:setitem").writes
    assert "out" in function_facts("torch:add").writes
    (switch,) = function_facts("torch.nn.functional:hardtanh").switches
    assert (switch.name, switch.position, switch.writes) == ("inplace", 3, {0, "input"})
    assert {0, "self"} <= function_facts("torch:_foreach_add_").writes
    assert not function_facts("operator:add").writes


@pytest.mark.parametrize("target", ["mine:helper", "builtins:exec", "torch:ops.mine.operator"])
def test_code_that_nobody_read_may_do_anything(target):
    assert not function_facts(target).is_known
    assert function_facts(target).shares == "maybe"


def test_only_what_shares_in_every_layout_always_does():
    methods = ("view", "transpose", "t", "detach", "add_", "hsplit")
    assert all(method_facts(name).shares == "always" for name in methods)
    others = ("reshape", "contiguous", "to", "mul", "type_as", "conj_physical", "resolve_conj")
    assert not any(method_facts(name).shares == "always" for name in others)


def test_attributes_of_a_tensor_that_are_tensors_share_its_memory():
    assert all(map(attribute_shares, ["T", "mT", "H", "mH", "real", "imag", "data"]))
    assert not any(map(attribute_shares, ["shape", "dtype", "device", "grad", "ndim"]))
    assert attribute_shares("features")  # of an object of the user's


IN_PLACE = sorted(
    name
    for name in {*dir(operator), *dir(torch.Tensor)}
    if name.strip("_")[:1] == "i" and name.strip("_")[1:] in dir(operator)
    if name.startswith("__") == name.endswith("__") and name.strip("_") not in ("index", "inv")
)


@pytest.mark.parametrize("name", IN_PLACE)
def test_an_augmented_assignment_is_known_to_write_by_its_name_and_by_its_effect(name):
    assert is_in_place(name)
    is_method = hasattr(torch.Tensor, name)
    facts = method_facts(name) if is_method else function_facts(f"operator:{name}")
    assert 0 in facts.writes and facts.shares == "always"
    effect = of_method(name) if is_method else of_function(f"operator:{name}")
    assert effect == WRITE


def test_an_operator_does_not_write_because_one_of_lists_has_its_name():
    assert not function_facts("torch:sort").always_writes
    assert function_facts("torch:sort").shares == "never"
    assert not method_facts("sort").always_writes
    assert of_method("sort") == WRITE  # of a list


def test_what_does_more_than_compute_a_result_acts():
    functions = (
        *("builtins:print", "builtins:exec", "operator:iadd", "torch:manual_seed", "torch:relu_"),
        *(
            "torch:rand",
            "torch:svd_lowrank",
            "torch:fused_moving_avg_obs_fake_quant",
            "mine:f",
            ":f",
        ),
        *("torch.nn.functional:batch_norm", "torch:ops.mine.operator"),
    )
    methods = (".append", ".pop", ".add_", ".backward", ".bernoulli", ".no_such", ".__call__")
    assert all(map(acts, (*functions, *methods)))
    others = ("builtins:len", "operator:add", "torch:sort", "torch.linalg:norm", "math:floor",
              ".view", ".keys", ".upper", "torch.nn.functional:relu")  # fmt: skip
    assert not any(map(acts, others))


def test_names_that_only_look_alike_change_nothing():
    names = ("is_", "and_", "or_", "not_")
    assert not any(of_function(f"operator:{name}") == WRITE for name in names)
    names = ("__add__", "__init__", "__int__", "__invert__", "__iter__", "index_add", "item")
    assert not any(map(is_in_place, names))


def test_what_is_no_operator_of_torch_is_not_random():
    assert not any(is_random(f".{name}") for name in ("dir", "name", "__str__", "no_such"))


def test_random_numbers_are_known_by_a_tag():
    names = ("rand_like", "dropout", "bernoulli", "multinomial", "normal", "randperm", "rrelu")
    assert all(is_random(f"torch:{name}") for name in names)
    assert not any(is_random(f"torch:{name}") for name in ("add", "zeros", "softmax"))


def test_probing_draws_no_random_numbers_and_says_nothing(recwarn):
    before = torch.get_rng_state()
    for name in ("feature_dropout", "alpha_dropout", "cross_entropy_loss", "cov"):
        _facts_by_name.__wrapped__(f"torch:{name}")
    assert torch.equal(before, torch.get_rng_state())
    assert not recwarn.list
