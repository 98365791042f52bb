"""An override that does not fit is told by its inner key, what it was, and what would be right."""

import logging.config

import pytest
from hydra.errors import HydraException

from runner.config.compose import compose_config
from runner.config.composition_errors import as_config_error
from runner.launch import register_resolvers

TOLD = [
    (["logger=[csv,[tensorboard]]"],
     "An option of a group is its name, or a list of names for a group such as logger: "
     "logger=[csv,tensorboard]."),
    (["budget={trails: 3}"],
     "There is no key 'budget.trails' in the config. Did you mean 'budget.trials'?"),
    (["budget.trails=3"],
     "There is no key 'budget.trails' in the config. Did you mean 'budget.trials'?"),
    (["evaluator.augment={mixup: 0.2}"],
     "There is no key 'evaluator.augment.mixup' in the config. evaluator.augment has crop, flip, "
     "cutout. Augment takes no argument 'mixup'."),
    (["evaluator.optimizer.amsgrad=true"],
     "There is no key 'evaluator.optimizer.amsgrad' in the config. evaluator.optimizer has "
     "_partial_, weight_decay. A new argument needs a plus: +evaluator.optimizer.amsgrad=..."),
    (["evaluator.optimizer.lr=0.1"],
     "There is no key 'evaluator.optimizer.lr' in the config. evaluator.optimizer has _partial_, "
     "weight_decay. Did you mean 'evaluator.lr'?"),
    (["evaluator.optimizer.bettas=[1]"],
     "There is no key 'evaluator.optimizer.bettas' in the config. evaluator.optimizer has "
     "_partial_, weight_decay. AdamW takes no argument 'bettas'. Did you mean 'betas'?"),
    (["strategy={sampler: {n_startup: 3}}"],
     "There is no key 'strategy.sampler.n_startup' in the config. Did you mean "
     "'strategy.sampler.n_startup_trials'?"),
    (["space=mlp", "space.stem_width=3"],
     "There is no key 'space.stem_width' in the config with space=mlp. Did you mean "
     "'space.widths'?"),
    (["space=mlp", "space.ratios=[2]"],
     "There is no key 'space.ratios' in the config with space=mlp. space has shape, classes, "
     "depths, widths, activations, norms, dropouts, mutators. MLP takes no argument "
     "'ratios'."),
    (["space=mlp", "space.depts=[1]"],
     "There is no key 'space.depts' in the config with space=mlp. Did you mean 'space.depths' or "
     "'space.dropouts'?"),
    (["search={evaluator.lr: [1, 2]}", "search={evaluator.epochs: [1, 2]}"],
     "search is given 2 times; give it once, as search={...}."),
    (["budgt.trials=3"],
     "There is no key 'budgt.trials' in the config. Did you mean 'budget.trials' or "
     "'budget.minutes' or 'budget.cost'?"),
    (["space.mutators={}"], "space.mutators is {}; it must be a list."),
    (["trust={a: b}"], "trust is {a: b}; it must be a list."),
    (["export=[1]"], "export is [1]; it must be a mapping of keys to values."),
    (["hydra.run.dir=null"], "hydra.run.dir is null; it must have a value."),
    (["hydra.job_logging=none"],
     "hydra.job_logging is none; it must be a mapping of keys to values."),
    (["space.widths.7=3"], "space.widths[7] does not exist: the list is shorter."),
    (["evaluator={null: 1}"],
     "evaluator is {null: 1}; a key is null; it must be a text."),
    (["search={null: [1]}"], "search is {null: [1]}; a key in search is null; it must be a text."),
    (["seed.x=1"], "There is no key 'seed.x' in the config. Did you mean 'seed'?"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "text"), TOLD)
def test_what_does_not_fit_is_told_with_what_would(overrides, text):
    register_resolvers()
    with pytest.raises(Exception) as error:
        compose_config(overrides)
    told = as_config_error(error.value, overrides)
    assert told is not None
    assert str(told) == text


def test_an_error_of_another_kind_is_nobodys_mistake():
    assert as_config_error(ZeroDivisionError()) is None
    assert str(as_config_error(FileNotFoundError(2, "No such file", "x"))) == "No such file: 'x'."


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("In 'x': ValidationError raised while composing config: field 'hydra.a' is not Optional. "
         "full_key: hydra.a, reference_type=Dict[str, Any], object_type=dict",
         "In 'x': hydra.a is null; it must have a value."),
        ("In 'x': ValidationError raised while composing config: Incompatible value 'None' for "
         "field of type 'str', full_key: hydra.sweep.dir, reference_type=SweepDir, "
         "object_type=SweepDir", "In 'x': hydra.sweep.dir is null; it must have a value."),
        ("In 'x': ConfigKeyError raised while composing config: Key 'foo' not in 'JobConf', "
         "full_key: hydra.job.foo, reference_type=JobConf, object_type=JobConf",
         "In 'x': hydra.job.foo is not a key of Hydra's."),
        ("In 'x': ValidationError raised while composing config: Merge error: int is not a "
         "subclass of HydraConf. value: 5, full_key: object_type=dict",
         "In 'x': a node of hydra is 5; it must be a mapping of keys to values."),
        ("In 'x': ValidationError raised while composing config: Value 'a' of type 'str' could "
         "not be converted to Integer, full_key: hydra.job.num, reference_type=JobConf, "
         "object_type=JobConf",
         "In 'x': hydra.job.num is 'a'; it must be: Integer."),
        ("In 'x': ValidationError raised while composing config: Invalid value 'FOO', expected one "
         "of [RUN, MULTIRUN], full_key: hydra.mode, object_type=HydraConf",
         "In 'x': hydra.mode is 'FOO'; it must be one of RUN, MULTIRUN."),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_schema_of_hydra_is_told_without_its_classes(said, told):
    assert str(as_config_error(HydraException(said))) == told


def test_whatever_logging_refuses_is_told_with_its_node():
    for node in (
        {"version": 2},
        {"version": 1, "root": {"level": "NOPE"}},
        {"version": 1, "root": 5},
    ):
        with pytest.raises(Exception) as error:
            logging.config.dictConfig(node)
        told = str(as_config_error(error.value))
        assert told.startswith("hydra.job_logging, or hydra.hydra_logging, is invalid: ")
        assert "\n" not in told
