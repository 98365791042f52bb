"""The config tree: each option composes and fits its target; what does not fit is named."""

from pathlib import Path

import pytest
import vision
import yaml
from omegaconf import OmegaConf

from runner import launch, parts, preflight
from runner.config import compose
from runner.config.check_arguments import check_arguments, signature
from runner.config.instantiate import put
from runner.config.settings import BESIDE, Settings, conf_folder, differences, settings_from
from runner.config.targets import locate
from runner.errors import ConfigError, as_yaml
from runner.loggers.logger import Logger
from runner.measures.measure import Measure
from runner.proxies.proxy import Proxy
from runner.tasks.task import Task

FILES = sorted(p for p in conf_folder().glob("*/*.yaml") if p.parent.name != "experiment")
OPTIONS = {f"{path.parent.name}/{path.stem}": path for path in FILES}
RECIPES = sorted(path.stem for path in conf_folder().glob("experiment/*.yaml"))
NEEDED = {  # what an option leaves to its user
    "data/dataset": ["data.train._target_=torch.utils.data.TensorDataset", "data.shape=[1]",
                     "data.classes=2"],
    "data/image_folder": ["data.root=images", "data.classes=3"],
    "evaluator/function": ["evaluator.fn._target_=toy.no_training", "trust=[toy]"],
    "evaluator/lightning": ["evaluator.module._target_=toy.Net", "trust=[toy]"],
    "task/compare": ["task.runs=[outputs]"],
}  # fmt: skip
CONTRACTS = {
    **parts.CONTRACTS,
    "logger": (Logger, ()),
    "measure": (Measure, ()),
    "proxy": (Proxy, ()),
    **{group: (contract, ()) for group, contract in preflight.CONTRACTS.items()},
    "task": (Task, ()),
}
NO_COMMENT = {"_target_", "_partial_", "override hydra/job_logging"}  # said by the head of the file


@pytest.fixture(autouse=True)
def resolvers():
    launch.register_resolvers()


def settings(*overrides: str) -> Settings:
    if any("mutate" in override for override in overrides):
        vision.torchvision()
    return settings_from(compose.compose_config([*overrides]), overrides)


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        parts.check(settings(*overrides))
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.sampled(2)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_composes_and_its_keys_are_arguments_of_its_target(option):
    group, name = option.split("/")
    made = settings(f"{group}={name}", *NEEDED.get(option, []))
    node = made.model if group == "space" else getattr(made, group)
    if group in ("logger", "measure", "proxy"):
        node = node[name]
    contract, runtime = CONTRACTS[group]
    check_arguments(node, made.trust, group, runtime, expected=contract)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_shows_every_argument_that_is_not_given_at_run_time(option):
    group = option.split("/")[0]
    node = yaml.safe_load(OPTIONS[option].read_text())
    if option == "space/mutate":
        assert node.keys() == {"_target_", "model", *BESIDE}
        return
    wanted = set(signature(locate(node["_target_"])) or ()) - {
        *parts.CONTRACTS.get(group, (None, ()))[1]
    }
    assert wanted | ({"mutators"} if group == "space" else set()) == node.keys() - {"_target_"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_composes_and_passes_all_checks(recipe):
    parts.check(settings(f"experiment={recipe}"))


LOOKED_UP = {"space/nasbench201", "space/nasbench_graph"}  # their models have no layers


@pytest.mark.parametrize("space", sorted(o for o in OPTIONS if o.startswith("space/")))
def test_every_space_fits_the_default_data(space):
    made = settings(space.replace("/", "="))
    parts.check(made)
    if space == "space/mutate":
        assert made.input == [1, 8, 8] and made.space["model"]["num_classes"] == 10
    elif space not in LOOKED_UP:
        assert made.space["shape"] == [1, 8, 8] and made.space["classes"] == 10


def test_the_regression_options_fit_together():
    options = ("evaluator=regression", "data=diabetes", "space=mlp")
    parts.check(settings(*options, "objective={metric: val/r2}"))
    assert "Regression does not report; it reports train/loss, val/loss" in refusal(*options)


@pytest.mark.parametrize("path", [conf_folder() / "config.yaml", *FILES], ids=lambda p: p.stem)
def test_every_key_has_a_comment_and_every_file_a_head(path):
    if path.parent.name == "hydra":
        return
    text = path.read_text()
    assert "#" in text.splitlines()[0]
    for line in text.split("\nhydra:\n")[0].splitlines():
        key, colon, value = line.partition(":")
        speaks_for_itself = key.strip(" -") in NO_COMMENT or value.strip().startswith("${")
        if colon and value.strip() and not key.lstrip().startswith("#") and not speaks_for_itself:
            assert "#" in value, f"{path.name}: {line}"


def test_another_target_takes_only_what_it_was_given_and_what_the_config_refers_to():
    toy = settings("trust=[toy]", "space._target_=toy.Net", "+space.act=tanh")
    assert toy.space == {"_target_": "toy.Net", "act": "tanh"}
    mlp = settings("space._target_=spaces.mlp.MLP", "space.widths=[8]", "+space.norms=[none]")
    assert mlp.space == {"_target_": "spaces.mlp.MLP", "shape": [1, 8, 8], "classes": 10,
                         "widths": [8], "norms": ["none"]}  # fmt: skip


def test_a_users_space_takes_its_sizes_from_the_data_unless_they_are_given():
    flat = ["trust=[examples]", "space._target_=examples.Flat"]
    node = {"_target_": "examples.Flat", "inputs": 64, "classes": 10}
    assert settings(*flat).space == node
    assert settings(*flat, "space.classes=12").space == node | {"classes": 12}
    assert settings(*flat, "space.inputs=3", "data=diabetes").space == {
        **node, "inputs": 3, "classes": 1
    }  # fmt: skip
    inner = settings("space=mutate", "trust=[examples]", "space.model._target_=examples.Flat")
    assert inner.space["model"] == node
    again = settings_from(OmegaConf.create(settings(*flat).model_dump()), [])
    assert again.space == node


def test_a_users_space_in_a_file_of_a_config_takes_its_sizes_from_the_data(tmp_path):
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "mine.yaml").write_text("_target_: examples.Flat\ninputs: 5\n")
    config = compose.compose_config(["space=mlp"])
    config.space = OmegaConf.load(tmp_path / "space" / "mine.yaml")
    config.trust = ["examples"]
    made = settings_from(config, ["space=mine"])
    assert made.space == {"_target_": "examples.Flat", "inputs": 5, "classes": 10}


TOY_MODEL = ["space=mutate", "trust=[toy]", "space.model._target_=toy.Net"]


def test_another_model_takes_arguments_without_a_plus_and_only_its_own():
    made = settings(*TOY_MODEL, "space.model.act=tanh")
    assert made.model == {
        "_target_": "spaces.mutate.existing", "model": {"_target_": "toy.Net", "act": "tanh"},
    }  # fmt: skip
    assert "has no argument 'bogus'" in refusal(*TOY_MODEL, "space.model.bogus=1")


def test_a_replaced_target_takes_arguments_without_a_plus_anywhere():
    optimizer = "evaluator.optimizer"
    made = settings(f"{optimizer}._target_=torch.optim.SGD", f"{optimizer}.momentum=0.9")
    assert made.evaluator["optimizer"]["momentum"] == 0.9
    assert refusal(f"{optimizer}._target_=torch.optim.SGD", f"{optimizer}.momentun=0.9").endswith(
        "Did you mean 'momentum'?"
    )


def test_only_arguments_of_a_replaced_target_are_freed_of_their_plus():
    given = ["a.b._target_=x.Y", "a.b.c=1", "+a.b.d=2", "~a.b.e", "a.f=3", "a.b.c.d=[a=b]", "-m",
             "a.b=4", "--x.a.b=1"]  # fmt: skip
    assert compose.freed(given) == [
        "a.b._target_=x.Y", "++a.b.c=1", "+a.b.d=2", "~a.b.e", "a.f=3", "++a.b.c.d=[a=b]", "-m",
        "a.b=4", "--x.a.b=1",
    ]  # fmt: skip
    assert compose.freed(compose.freed(given)) == compose.freed(given)


def test_further_arguments_need_no_plus_where_there_may_be_any():
    lit = ["evaluator=lightning", "evaluator.module._target_=toy.Net", "trust=[toy]"]
    one = settings(*lit, "evaluator.trainer.gradient_clip_val=1.0")
    assert one.evaluator["trainer"] == {"gradient_clip_val": 1.0}
    two = settings(*lit, "evaluator.trainer={gradient_clip_val: 1.0, precision: bf16-mixed}")
    assert two.evaluator["trainer"] == {"gradient_clip_val": 1.0, "precision": "bf16-mixed"}


SCALE = "{_target_: mutable.Scale}"


def test_what_stands_beside_the_model_of_a_space_is_no_argument_of_it():
    made = settings(
        "space=mlp", "trust=[mutable]", f"space.mutators=[{SCALE}]", "+space.input=[1,8,8]",
        "+space.weights=inherit",
    )  # fmt: skip
    assert not {*BESIDE} & made.model.keys()
    assert (made.mutators, made.input, made.weights) == (
        [{"_target_": "mutable.Scale"}], [1, 8, 8], "inherit",
    )  # fmt: skip
    assert (settings().mutators, settings().input, settings().weights) == ([], None, None)


@pytest.mark.parametrize("given", ["7", "[]", "[0, 8]", "[1.5]", "[true]", "{a: 1}"])
def test_an_input_that_is_no_shape_is_refused(given):
    with pytest.raises(ConfigError, match=r"space.input is .*shape of one example"):
        settings("space=mlp", f"+space.input={given}").input  # noqa: B018


def test_weights_are_inherited_or_not():
    with pytest.raises(ConfigError, match=r"space.weights is 'IMAGENET'; it must be null or"):
        settings("space=mlp", "+space.weights=IMAGENET").weights  # noqa: B018


def test_mutators_survive_a_trip_through_the_record(tmp_path):
    text = "[{_target_: mutable.Renew, on: '**.relu', names: [a, 1, 2.5, null], tie: true}]"
    (tmp_path / "mutators.yaml").write_text(text)
    config = compose.compose_config(["space=mlp", "trust=[mutable]"])
    config.space.mutators = OmegaConf.load(tmp_path / "mutators.yaml")
    made = settings_from(config, [])
    node = {"_target_": "mutable.Renew", "on": "**.relu", "names": ["a", 1, 2.5, None], "tie": True}
    assert made.mutators == [node]
    again = settings_from(OmegaConf.create(made.model_dump()), [])
    assert again == made == Settings.model_validate_json(made.model_dump_json())


def test_another_target_of_an_inner_node_stays_partial():
    made = settings(
        "evaluator.optimizer._target_=torch.optim.SGD", "+evaluator.optimizer.momentum=0.9"
    )
    assert made.evaluator["optimizer"] == {
        "_target_": "torch.optim.SGD", "_partial_": True, "momentum": 0.9,
    }  # fmt: skip
    assert made.evaluator["schedule"] == settings().evaluator["schedule"]


@pytest.mark.parametrize("group", ["space", "evaluator", "evaluator.optimizer", "strategy"])
def test_a_refused_target_is_named_by_its_own_place(group):
    assert refusal(f"{group}._target_=os.system").startswith(f"{group}._target_ 'os.system'")


def test_a_replaced_target_keeps_what_it_needs_and_is_asked_for_the_rest():
    assert refusal("trust=[toy]", "evaluator._target_=toy.Arithmetic") == (
        "evaluator.sleep is missing; Arithmetic needs it."
    )


@pytest.mark.parametrize(
    ("search", "text"),
    [
        ("{evaluator.lrr: [1, 2]}", "search names 'evaluator.lrr', but evaluator has no key 'lrr'. "
         "Did you mean 'lr'?"),
        ("{evaluator.optimizer.lr: [1, 2]}", "but evaluator.optimizer has no key 'lr'"),
        ("{evaluator.lr.x: [1, 2]}", "but evaluator.lr has no key 'x'"),
        ("{space.widths: [[8]]}", "it can vary keys of evaluator and data"),
        ("{lr: [1, 2]}", "it can vary keys of evaluator and data"),
        ("{evaluator.lr: 5}", "search.evaluator.lr is 5; it must be a list of candidates or"),
        ("{evaluator.lr: []}", "no candidates"),
        ("{evaluator.lr: [a]}", "evaluator.lr is 'a': Input should be a valid number."),
        ("{evaluator.epochs: {low: 0.5, high: 2.5}}", "evaluator.epochs is 0.5"),
        ("{evaluator.lr: {low: 1, high: 2, lgo: true}}", "unknown key 'lgo'; a range takes low, "
         "high, step and log. Did you mean 'log'?"),
        ("{evaluator.lr: {low: a, high: 2}}", "evaluator.lr.low is 'a'; it must be a number."),
        ("{evaluator.optimizer._target_: [os.system]}", "is not on the allowlist"),
        ("{evaluator.optimizer: [{_target_: os.system}]}", "is not on the allowlist"),
        ("[evaluator.lr]", "search is ['evaluator.lr']"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_is_refused(search, text):
    assert text in refusal(f"search={search}")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("budget.trials=0", "budget.trials is 0: Input should be greater than or equal to 1."),
        ("budget.trials=2.5", "budget.trials is 2.5"),
        ("budget.trials=null", "budget.trials is null"),
        ("budget.minutes=-1", "budget.minutes is -1: Input should be greater than 0."),
        ("budget.minutes=nan", "budget.minutes is nan"),
        ("seed=-1", "seed is -1"),
        ("seed=a", "seed is 'a': Input should be a valid integer."),
        ("dedup=1", "dedup is 1"),
        ("dedup=maybe", "dedup is 'maybe'"),
        ("objective.mode=best", "objective.mode is 'best': Input should be 'max' or 'min'."),
        ("export.top=-1", "export.top is -1"),
        ("trust=toy", "trust is 'toy'; it must be a list."),
        ("trust=[5]", "trust[0] is 5: Input should be a valid string."),
        ("+budget.hours=5", "There is no key 'budget.hours' in the config."),
        ("+bugdet=5", "There is no key 'bugdet' in the config. Did you mean 'budget'?"),
        ("~seed", "The key 'seed' is missing in the config."),
        ("~space._target_", "space has no _target_; choose an option, such as space=NAME."),
        ("data=image_folder", "data.root has no value; give it one: data.root=..."),
        ("evaluator=function", "evaluator.fn._target_ has no value"),
        ("training.device=7", "training.device is 7: Input should be a valid string."),
        ("evaluator.epochs=-3", "evaluator: evaluator.epochs is -3"),
        ("data.validation=2", "data.validation is 2"),
        ("strategy.sampler.n_startup_trials=x", "strategy.sampler.n_startup_trials is 'x'"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused_at_its_place(override, text):
    given = refusal(override)
    assert given.startswith(text.removeprefix("evaluator: ")) or text in given


def test_settings_are_plain_and_survive_a_trip_through_the_record():
    made = settings("search={evaluator.lr: {low: 1e-4, high: 1e-1, log: true}}")
    assert Settings.model_validate(made.model_dump()) == made
    assert Settings.model_validate_json(made.model_dump_json()) == made


def test_differences_name_what_changed_and_leave_out_what_may():
    before = settings()
    assert differences(before, settings("budget.trials=99", "training=inline"), launch.FREE) == []
    assert differences(before, settings("seed=3", "strategy=grid"), launch.FREE) == [
        "evaluator.seed: 0 -> 3",
        "seed: 0 -> 3",
        "strategy._target_: 'runner.strategies.optuna.OptunaStrategy' -> "
        "'runner.strategies.grid.Grid'",
        "strategy.resolution: '(absent)' -> 5",
        *(f"strategy.sampler.{key}: {as_yaml(value)} -> '(absent)'"
          for key, value in sorted(before.strategy["sampler"].items())),
    ]  # fmt: skip


def test_put_reaches_only_places_that_exist():
    config = {"a": {"b": {"c": 1}}}
    put(config, "a.b.c", 2)
    assert config == {"a": {"b": {"c": 2}}}
    for path in ("x", "a.x", "a.b.x", "a.b.c.x", "a.b.c.x.y"):
        with pytest.raises(ConfigError, match=f"search names '{path}'"):
            put(config, path, 3)
    assert config == {"a": {"b": {"c": 2}}}


def test_the_config_tree_lies_beside_the_package_or_in_it():
    assert conf_folder() == Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("strategy/")])
def test_any_strategy_takes_first_samples_beside_its_arguments(option):
    name = option.split("/")[1]
    given = settings(f"strategy={name}", "strategy.first=[{depth: 2}, outputs/old]")
    assert given.first == [{"depth": 2}, "outputs/old"]
    assert given.searcher == settings(f"strategy={name}").strategy
    parts.check(given)


def test_first_samples_stay_when_the_strategy_is_replaced_by_its_target():
    target = "strategy._target_=runner.strategies.random.Random"
    given = settings("strategy.first=[{depth: 2}]", target)
    assert given.first == [{"depth": 2}]
    assert given.searcher == {"_target_": "runner.strategies.random.Random"}


def test_first_samples_and_priors_of_a_wrong_kind_are_refused():
    with pytest.raises(ConfigError, match=r"^strategy.first is 5; it must be a list of samples"):
        _ = settings("strategy.first=5").first
    with pytest.raises(ConfigError, match=r"^prior.depth is 3; it must be a list"):
        settings("prior={depth: 3}")


@pytest.mark.parametrize("given", ["repeat=2", "confirm={top: 2, seeds: 2}"])
def test_seeds_that_change_little_are_not_tried(given):
    text = refusal("space=mutate", "engine=base", "space.weights=inherit",
                   "space.model._target_=torchvision.models.resnet18", given)  # fmt: skip
    name = given.partition("=")[0]
    assert text.startswith(f"{name} trains samples under several seeds, but with space.weights=inh")
    assert f"leave {name} out" in text
