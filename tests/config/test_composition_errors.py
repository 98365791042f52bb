"""An override that does not fit is told by its inner key, what it was, and what would be right."""

import pytest

from runner.config.compose import compose_config
from runner.config.composition_errors import as_config_error
from runner.launch import register_resolvers

TOLD = [
    (["budget={trails: 3}"],
     "There is no key 'budget.trails' in the config. Did you mean 'budget.trials'?"),
    (["budget.trails=3"],
     "There is no key 'budget.trails' in the config. Did you mean 'budget.trials'?"),
    (["evaluator.augment={mixup: 0.2}"],
     "There is no key 'evaluator.augment.mixup' in the config. evaluator.augment has crop, flip, "
     "cutout. A new argument needs a plus: +evaluator.augment.mixup=..."),
    (["strategy={sampler: {n_startup: 3}}"],
     "There is no key 'strategy.sampler.n_startup' in the config. Did you mean "
     "'strategy.sampler.n_startup_trials'? A new argument needs a plus: "
     "+strategy.sampler.n_startup=..."),
    (["space=mlp", "space.stem_width=3"],
     "There is no key 'space.stem_width' in the config with space=mlp. Did you mean "
     "'space.widths'? A new argument needs a plus: +space.stem_width=..."),
    (["space=mlp", "space.ratios=[2]"],
     "There is no key 'space.ratios' in the config with space=mlp. space has shape, classes, "
     "depths, widths, activations, norms, dropouts, mutators. A new argument needs a plus: "
     "+space.ratios=..."),
    (["space=mlp", "space.depts=[1]"],
     "There is no key 'space.depts' in the config with space=mlp. Did you mean 'space.depths' or "
     "'space.dropouts'? A new argument needs a plus: +space.depts=..."),
    (["search={evaluator.lr: [1, 2]}", "search={evaluator.epochs: [1, 2]}"],
     "search is given 2 times; give it once, as search={...}."),
    (["budgt.trials=3"],
     "There is no key 'budgt.trials' in the config. Did you mean 'budget.trials' or "
     "'budget.minutes'?"),
    (["space.mutators={}"], "space.mutators is {}; it must be a list."),
    (["trust={a: b}"], "trust is {a: b}; it must be a list."),
    (["export=[1]"], "export is [1]; it must be a mapping of keys to values."),
    (["hydra.run.dir=null"], "hydra.run.dir is null; it must have a value."),
    (["hydra.job_logging=none"],
     "hydra.job_logging is none; it must be a mapping of keys to values."),
    (["space.widths.7=3"], "space.widths[7] does not exist: the list is shorter."),
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
