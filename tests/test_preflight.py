"""Evaluator, data, objective and bounds: what is wrong with them is said before any trial."""

import math
import re
from pathlib import Path

import pytest
from command_line import assert_refused, assert_starts, attempt
from omegaconf import OmegaConf

from runner import launch, parts, preflight
from runner.config.compose import compose_config
from runner.config.settings import settings_from
from runner.errors import ConfigError
from runner.rehearsal import rehearse
from runner.space.choice import Numeric

launch.register_resolvers()
ROOT = Path(__file__).parents[1]
MLP = "space=mlp "
OURS = "trust=[examples] space._target_=examples.Linear space.classes=3 space.shape=[4] "
PAIRS = "data=dataset data.train._target_=examples.Pairs data.shape=[4] data.classes=3 "
OPTIMIZER = "evaluator.optimizer._target_="
SCHEDULE = "trust=[examples] evaluator.schedule._target_=examples."
SAMPLER = "strategy.sampler._target_=optuna.samplers."


SEVERAL = f"{MLP}training.devices_per_trial=3"
FIDELITY = "fidelity={key:evaluator.epochs,min:1,max:27,eta:3}"
ASHA = f"{MLP}strategy=asha {FIDELITY}"

WRONG = [
    # The objective
    ("objective.metric=val/acuracy", "does not report; it reports train/loss, val/loss, "
     "val/accuracy, params, flops, latency, memory, size. Did you mean 'val/accuracy'?"),
    ("objective.metric=test/accuracy", "objective.metric is 'test/accuracy', which"),
    ("objective.metric=preserved", "objective.metric is 'preserved', which"),
    (f"{MLP}data=diabetes evaluator=regression", "Regression does not report; it reports"),
    # Evaluator and data
    (f"{MLP}data=diabetes", "evaluator=regression suits them"),
    (f"{MLP}evaluator=regression objective.metric=val/r2", "evaluator=classification suits them"),
    (f"{OURS}{PAIRS}data.train.kind=floats", "those of data (TorchDataset) are numbers"),
    (f"{OURS}{PAIRS}evaluator=regression objective.metric=val/r2", "are indices of classes"),
    # Optimizer and schedule
    (f"{OPTIMIZER}torch.nn.ReLU", "must be a partial that makes an Optimizer"),
    (f"{OPTIMIZER}torch.optim.lr_scheduler.StepLR", "that makes an Optimizer"),
    (f"{OPTIMIZER}torch.optim.LBFGS", "requires a closure"),
    (f"{OPTIMIZER}torch.optim.SparseAdam", "does not support dense gradients"),
    (f"{OPTIMIZER}torch.optim.SGD evaluator.optimizer.momentum=-1", "Invalid momentum value: -1"),
    ("evaluator.optimizer.weight_decay=-1", "Invalid weight_decay value: -1"),
    ("evaluator.optimizer.weight_decay=500", "weight_decay is 500; it must be at most 1 / "),
    ("+evaluator.optimizer.betas=[2,0.9]", "Invalid beta parameter at index 0: 2"),
    ("+evaluator.optimizer.betas=[0.9]", "evaluator.optimizer (torch.optim.adamw.AdamW) cannot"),
    ("+evaluator.optimizer.bogus=1", "AdamW has no argument 'bogus'"),
    ("evaluator.optimizer._partial_=false", "Did you forget evaluator.optimizer._partial_=true?"),
    (f"trust=[examples] {OPTIMIZER}examples.Picky evaluator.optimizer.when=made", "no optimizer"),
    (f"trust=[examples] {OPTIMIZER}examples.Picky evaluator.optimizer.when=step", "no step today"),
    (f"{SCHEDULE}constant", "evaluator.schedule.step is missing; constant needs it."),
    (f"{SCHEDULE}shrinking evaluator.schedule._partial_=true", "is -4.0 at step 5 of 10"),
    (f"{SCHEDULE}one_argument evaluator.schedule._partial_=true", "evaluator.schedule cannot be"),
    (f"{SCHEDULE}nothing", "evaluator.schedule cannot be used"),
    # Several devices
    (f"{SEVERAL} evaluator.compile=true", "evaluator.compile=true compiles the batch"),
    (f"{SEVERAL} evaluator.batch_size=2", "evaluator.batch_size is 2, which leaves devices"),
    (f"{SEVERAL} search={{evaluator.batch_size:[8,2]}}", "search.evaluator.batch_size[1]: train"),
    (f"{SEVERAL} evaluator=function evaluator.fn._target_=toy.no_training "
     "trust=[toy]",
     "training.devices_per_trial is 3, but Function trains a model on one device; evaluator=class"),
    (f"{SEVERAL} engine=cgo engine.group=2", "but engine.group is 2: trials that are trained as"),
    (f"{SEVERAL} training=inline", "There is no key 'training.devices_per_trial' in the config"),
    # The fidelity
    ("strategy=asha", "strategy=asha promotes trials from rung to rung, and needs fidelity={key: "),
    ("strategy=hyperband", "strategy=hyperband promotes trials from rung to rung, and needs"),
    (f"strategy=random {FIDELITY}", "fidelity is given, but Random promotes no trials from rung"),
    (f"strategy=tpe {FIDELITY}", "but OptunaStrategy promotes no trials from rung to rung"),
    (f"{ASHA} fidelity.key=evaluator.epoch", "fidelity.key is 'evaluator.epoch', which is no key of"
     " the config. Did you mean 'epochs'?"),
    (f"{ASHA} fidelity.key=evaluator.lr", "fidelity.key is 'evaluator.lr', which is 0.003; it"),
    (f"{ASHA} fidelity.key=evaluator.compile", "which is False; it must be a key of evaluator or"),
    (f"{ASHA} fidelity.key=evaluator.optimizer", "that is a whole number, such as evaluator.ep"),
    (f"{ASHA} fidelity.key=evaluator", "it must be a key of evaluator or data that is a whole"),
    (f"{ASHA} fidelity.key=seed", "fidelity.key is 'seed'"),
    (f"{ASHA} fidelity.min=27", "fidelity.max is 27; it must be at least eta * min, which is 81"),
    (f"{ASHA} fidelity.min=28", "fidelity.max is 27; it must be at least eta * min"),
    (f"{ASHA} fidelity.min=0", "fidelity.min is 0; it must be at least 1"),
    (f"{ASHA} fidelity.eta=1", "fidelity.eta is 1; it must be at least 2"),
    (f"{ASHA} fidelity.max=2.5", "fidelity.max is 2.5"),
    (f"{ASHA} search={{evaluator.epochs:[1,2]}}", "search names 'evaluator.epochs', which fid"),
    (f"{ASHA} fidelity.key=data.validation", "fidelity.key is 'data.validation', which is 0.2"),
    (f"{ASHA} fidelity.key=data.classes fidelity.min=1", "fidelity, with data.classes=1"),
    # The search over them
    ("search={evaluator.optimizer._target_:[torch.optim.SGD],evaluator.optimizer.weight_decay:[0]}",
     "search names both 'evaluator.optimizer._target_' and 'evaluator.optimizer.weight_decay'"),
    ("search={evaluator.augment:[null],evaluator.augment.crop:[0]}",
     "search names both 'evaluator.augment' and 'evaluator.augment.crop'"),
    ("search={}", "search is {}; give it keys to vary, or null"),
    ("search={evaluator:[1,2]}", "search names 'evaluator'; it can vary keys of"),
    ("search={data:[1]}", "search names 'data'; it can vary keys of"),
    ("search={evaluator.:[1]}", "search names 'evaluator.'; it can vary keys of"),
    ("search={seed:[1,2]}", "search names 'seed'; it can vary keys of"),
    ("search={evaluator.lr:[]}", "search.evaluator.lr has no candidates."),
    ("search={evaluator.lr:[0.1,0.1]}", "lists a candidate twice"),
    ("search={evaluator.lr:[0.1,-1]}", "search.evaluator.lr[1]: evaluator.lr is -1"),
    ("search={evaluator.lr:[nan]}", "search.evaluator.lr[0] is nan; a candidate must be a"),
    ("search={evaluator.lr:{low:1,high:0}}", "low is above high"),
    ("search={evaluator.lr:{low:0,high:1,log:true}}", "a log scale needs low > 0"),
    ("search={evaluator.lr:{low:0,high:1}}", "search.evaluator.lr=0: evaluator.lr is 0"),
    ("search={evaluator.lr:{low:0.1,high:nan}}", "both ends must be finite"),
    ("search={evaluator.lr:{low:-inf,high:1}}", "both ends must be finite"),
    ("search={evaluator.lr:{low:0.1,high:1,log:x}}", "search.evaluator.lr.log is 'x'"),
    ("search={evaluator.epochs:{low:1,high:9,step:0}}", "step is 0; it must be at least 1"),
    ("search={evaluator.epochs:{low:1,high:9,step:0.5}}", "it must be a whole number"),
    ("search={evaluator.batch_size:{low:0,high:10}}", "search.evaluator.batch_size=0: evaluator."),
    ("search={evaluator.optimizer:[{_target_:torch.optim.SGD}]}",
     "search.evaluator.optimizer[0]: it replaces evaluator.optimizer, which has `_partial_: true`"),
    ("search={evaluator.optimizer:[{_target_:torch.nn.ReLU,_partial_:true}]}",
     "search.evaluator.optimizer[0]: evaluator.optimizer._target_ is torch.nn.modules."),
    ("search={evaluator.optimizer.weight_decay:[0.1,-1]}", "weight_decay[1]: evaluator."),
    ("search={evaluator.schedule:[{_target_:runner.evaluators.schedule.Cosine,warmup:0.1}]}",
     "search.evaluator.schedule[0]: evaluator.schedule.end is missing; Cosine needs it."),
    ("search={evaluator.optimizer:[null]}", "evaluator.optimizer is null"),
    ("search={data.validation:[0.1,0.0001]}", "search.data.validation[1]: data.validation is"),
    ("search={data.validation:{low:0.0001,high:0.5}}", "search.data.validation=0.0001: data."),
    # Data
    ("data.validation=0.0001", "which leaves 1438 of 1438 examples to train on and 0 to validate"),
    ("data.validation=0.99999", "which leaves 0 of 1438 examples to train on"),
    (f"{OURS}{PAIRS}data.train.size=0", "data.train is empty"),
    (f"{OURS}{PAIRS}data.train.size=1", "leaves 1 of 1 examples to train on and 0 to validate on"),
    (f"{OURS}{PAIRS}data.train.size=-1", "data: ValueError"),
    (f"{OURS}{PAIRS}data.train.raises=len", "data: OSError: no such archive ("),
    (f"{OURS}{PAIRS}data.train.raises=item", "data: KeyError: 'photo.jpg' ("),
    (f"{OURS}{PAIRS}data.train.raises=second", "examples.py:"),
    (f"{OURS}{PAIRS}data.train.kind=text", "returns a target of type str; it must be a number"),
    (f"{OURS}{PAIRS}data.train.kind=none", "returns a target of type NoneType"),
    (f"{OURS}{PAIRS}data.train.kind=large", "labels range from 100 to 100"),
    (f"{OURS}{PAIRS}data.train.kind=mask", "The default model fails on an example"),
    (f"{OURS}{PAIRS}data.train.shape=[5]", "data.shape is [4], but inputs have shape [5]"),
    (f"{OURS}{PAIRS}data.classes=1 space.classes=1", "labels range from"),
    (f"{OURS}{PAIRS}data.test={{_target_:examples.Pairs,size:0}}", "data.test is empty"),
    (f"{OURS}{PAIRS}data.test={{_target_:examples.Pairs,raises:item}}", "KeyError: 'photo.jpg'"),
    (f"{OURS}{PAIRS}data.test={{_target_:examples.Pairs,shape:[9]}}", "have shape [9]"),
    (f"{OURS}{PAIRS}data.train._target_=examples.Stream", "is an IterableDataset"),
    (f"{OURS}{PAIRS}data.train._target_=examples.Singles", "it must return pairs"),
    (f"{OURS}{PAIRS}data.train._target_=examples.Texts", "inputs of type str"),
    (f"{OURS}{PAIRS}data.train._target_=examples.Ragged", "data.shape is [4], but inputs"),
    (f"{OURS}{PAIRS}data.loader_workers=-1", "data.loader_workers is -1"),
    # Strategies
    ("strategy=grid strategy.resolution=1", "strategy.resolution is 1; it must be at least 2"),
    ("strategy=evolution strategy.population_size=0", "strategy.population_size is 0"),
    ("strategy=evolution strategy.sample_size=0", "strategy.sample_size is 0"),
    ("strategy=evolution strategy.sample_size=101", "from 1 to strategy.population_size, which is"),
    ("strategy=evolution strategy.retries=-1", "strategy.retries is -1"),
    ("strategy.sampler.n_startup_trials=-1", "strategy.sampler.n_startup_trials is -1"),
    ("strategy.sampler.n_ei_candidates=0", "strategy.sampler.n_ei_candidates is 0"),
    (f"{SAMPLER}GridSampler", "missing 1 required positional argument: 'search_space'"),
    (f"{SAMPLER}NSGAIISampler strategy.sampler.population_size=1", "population_size"),
    (f"{SAMPLER}QMCSampler strategy.sampler.qmc_type=none", "strategy.sampler cannot be created"),
    ("strategy.sampler._target_=torch.nn.ReLU", "that makes a BaseSampler"),
    # Spaces
    (f"{MLP}space.shape=[]", "space.shape is []"),
    (f"{MLP}space.shape=[0]", "space.shape[0] is 0"),
    (f"{MLP}space.depths=[-1]", "space.depths[0] is -1"),
    (f"{MLP}space.widths=[8,0]", "space.widths[1] is 0"),
    (f"{MLP}space.widths=[]", "has no candidates"),
    (f"{MLP}space.widths=[8,8]", "lists a candidate twice"),
    (f"{MLP}space.dropouts=[2]", "space.dropouts[0] is 2: Input should be less than 1."),
    (f"{MLP}space.classes=0", "space.classes is 0"),
    ("space.shape=[8,8]", "space.shape is [8, 8]"),
    ("space.kernels=[4]", "space.kernels[0] is 4"),
    ("space.kernels=[0]", "space.kernels[0] is 0"),
    ("space.strides=[0]", "space.strides[0] is 0"),
    ("space.depths=[0]", "space.depths[0] is 0"),
    ("space.depths=[1000000]", "space.depths[0] is 1000000"),
    ("space.ratios=[64]", "space.ratios has 64, which leaves no channels"),
    ("space.stem_width=1", "space.stem_width is 1; a deep stem needs at least 2."),
    ("space=mobilenet space.kernels=[-3]", "space.kernels[0] is -3"),
    ("space=mobilenet space.strides=[1]", "each stage needs one of both"),
    ("space=mobilenet space.strides=[] space.widths=[]", "there must be a stage"),
    ("space=mobilenet space.stem_width=1 space.expansions=[2]", "which needs 4 channels inside"),
    ("space=transformer space.heads=[3]", "3 heads do not divide a width of 32"),
    ("space=transformer space.patch=3", "do not fall into patches of 3x3"),
    ("space=transformer space.dropouts=[-0.1]", "space.dropouts[0] is -0.1"),
    ("space=cell space.nodes=0", "space.nodes is 0"),
    ("space=cell space.stages=-1", "space.stages is -1"),
    ("space=cell space.ops=[]", "has no candidates"),
    ("repeat=0", "repeat is 0"),
    ("repeat=1.5", "repeat is 1.5"),
    ("confirm={top:3}", "confirm.seeds"),
    ("confirm={top:0,seeds:3}", "confirm.top is 0"),
    ("confirm={top:3,seeds:0}", "confirm.seeds is 0"),
    ("confirm=3", "confirm is 3; it must be a mapping"),
    ("confirm={top:3,seeds:3,seed:1}", "confirm.seed"),
    ("compare=best", "compare is 'best'"),
    ("experiment=nasbench201 repeat=2", "repeat trains samples under several seeds, but Tabular"),
    ("experiment=nasbench201 confirm={top:3,seeds:3}", "leave confirm out"),
    ("strategy=asha fidelity={key:evaluator.epochs,min:1,max:9,eta:3} repeat=2",
     "repeat and fidelity are both given"),
]  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("line", "text"), WRONG, ids=[line for line, _ in WRONG])
def test_what_is_wrong_is_said_in_one_line(line, text, here, monkeypatch):
    assert_refused(attempt(line, monkeypatch), text, here)


RIGHT = [
    "objective.metric=val/loss objective.mode=min",
    "objective.metric=params objective.mode=min",
    "data=diabetes evaluator=regression objective.metric=val/mae objective.mode=min",
    f"{OPTIMIZER}torch.optim.SGD evaluator.optimizer.momentum=0.9",
    f"trust=[examples] {OPTIMIZER}examples.Picky evaluator.optimizer.when=never",
    f"{SCHEDULE}constant evaluator.schedule._partial_=true",
    "search={evaluator.lr:[0.1]}",
    "search={evaluator.batch_size:{low:1,high:100000000}}",
    "search={evaluator.lr:{low:1e-4,high:0.1,log:true},data.validation:[0.1,0.2]}",
    "search={evaluator.optimizer:[{_target_:torch.optim.SGD,_partial_:true}]}",
    "search={evaluator.optimizer._target_:[torch.optim.Adam,torch.optim.SGD]}",
    "space.depths=[0]",
    f"{SAMPLER}NSGAIISampler",
    f"{SAMPLER}GPSampler",
    "strategy=evolution",
    "repeat=2 confirm={top:3,seeds:3} compare=random",
    "strategy=asha fidelity={key:evaluator.epochs,min:1,max:9,eta:3} confirm={top:3,seeds:3}",
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("line", RIGHT)
def test_what_is_right_starts(line, here, monkeypatch):
    assert_starts(attempt(MLP + line, monkeypatch))


def test_a_data_set_that_fits_starts(here, monkeypatch):
    for more in ("", "data.train.kind=tensor", "data.test={_target_:examples.Pairs}"):
        assert_starts(attempt(f"{OURS}{PAIRS}{more}".strip(), monkeypatch))
    floats = "evaluator=regression objective.metric=val/r2 data.train.kind=floats"
    assert_starts(attempt(f"{OURS}{PAIRS}{floats}", monkeypatch))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "objective.metric=val/loss",
            "objective.mode is max, but val/loss is better if it is lower",
        ),
        ("objective.mode=min", "objective.mode is min, but val/accuracy is better if it is higher"),
    ],
)
def test_an_obviously_reversed_mode_is_warned_of(line, text, here, monkeypatch):
    done = attempt(MLP + line, monkeypatch)
    assert_starts(done)
    assert text in re.sub(r"\s+", " ", done.out)


def test_a_ring_of_causes_has_a_place():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    pattern = r"data: ValueError: .*test_preflight\.py:\d+"
    for error in (first, second):
        with pytest.raises(ConfigError, match=pattern), preflight.naming("data"):
            raise error


def test_of_a_range_the_ends_and_the_middle_are_tried():
    assert preflight._values(Numeric("n", 1, 10**9, step=1)) == [1, 5 * 10**8 + 1, 10**9]
    assert preflight._values(Numeric("n", 1, 2, step=1)) == [1, 2]
    assert preflight._values(Numeric("n", 0.5, 1.5)) == [0.5, 1.0, 1.5]
    assert preflight._values(Numeric("n", 1, 10, step=4)) == [1, 5, 9]


# Each numeric key of each option gets each kind of number: it is taken, or refused in one line.

NUMBERS = [math.nan, math.inf, -math.inf, -1, 0, 1e30, True, "x"]
OPTIONS = {
    "engine": {"cgo": ["engine=cgo"]},
    "space": {name: [f"space={name}"] for name in ("cell", "mlp", "mobilenet", "transformer")},
    "strategy": {name: [f"strategy={name}"] for name in ("evolution", "grid", "tpe")},
    "evaluator": {
        "classification": ["data=digits"],
        "regression": ["evaluator=regression", "data=diabetes", "objective.metric=val/r2"],
    },
    "data": {"digits": ["data=digits"]},
}
OPEN = ("clip_norm", "seed")  # numbers that an option leaves empty, or to the rest of the config


def numeric(node, path=()):
    """The paths of all numbers of an option, and whether they stand in a list."""
    for key, value in node.items():
        here = (*path, key)
        if isinstance(value, dict):
            yield from numeric(value, here)
        elif isinstance(value, list) and not isinstance(value[:1], str):
            if value and type(value[0]) in (int, float):
                yield here, True
        elif type(value) in (int, float) or key in OPEN:
            yield here, False


KEYS = [
    (group, option, path, in_list)
    for group, options in OPTIONS.items()
    for option in options
    for path, in_list in numeric(
        OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / group / f"{option}.yaml"))
    )
]


def prepared(config) -> None:
    """All that a search does before its workers start."""
    settings = settings_from(config, [])
    parts.check(settings)
    engine = parts.make_engine(settings)
    parts.make_strategy(settings, parts.make_space(settings, engine))
    rehearse(settings, engine)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("group", "option", "path", "in_list"), KEYS, ids=[f"{k[1]}-{'.'.join(k[2])}" for k in KEYS]
)
def test_each_number_is_taken_or_refused_in_one_line(group, option, path, in_list):
    small = [] if group == "space" else ["space=mlp"]
    composed = compose_config([*small, *OPTIONS[group][option], "resume=null"])
    for number in NUMBERS:
        config = composed.copy()
        value = [number] if in_list else number
        OmegaConf.update(config, ".".join((group, *path)), value, merge=False, force_add=True)
        try:
            prepared(config)
        except ConfigError as error:
            text = str(error)
            assert path[-1] in text and "\n" not in text
        else:
            assert number in (-1, 0, 1e30) and number is not True


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("stopper=asha objective.metric=latency objective.mode=min",
         "stopper decides on 'latency', which is measured before training; set stopper.metric to a "
         "metric of each epoch, one of "),
        ("stopper=median stopper.metric=val/acuracy stopper.mode=max",
         "stopper decides on 'val/acuracy', which is not reported; set stopper.metric to a metric "
         "of each epoch, one of train/loss, val/loss, val/accuracy. Did you mean 'val/accuracy'"),
        ("stopper=asha stopper.metric=val/loss",
         "stopper.metric is 'val/loss', which is no objective; set stopper.mode to max or min"),
        ("stopper=threshold", "stopper.pruner cannot be created: TypeError: Either lower or upper"),
        ("stopper=asha stopper.pruner.reduction_factr=2",
         "stopper.pruner.reduction_factr"),
        ("stopper=nope", "Could not find 'stopper/nope'"),
    ],
)  # fmt: skip
def test_a_stopper_that_cannot_decide_is_refused(line, text, here, monkeypatch):
    done = attempt(f"space=mlp {line}", monkeypatch)
    assert done.code == 2, done.err
    [said] = done.err.splitlines()
    assert said.startswith("error: ") and text in said


def test_a_stopper_decides_on_another_metric_than_a_measured_objective(here, monkeypatch):
    line = "space=mlp stopper=asha objective.metric=latency objective.mode=min"
    done = attempt(f"{line} stopper.metric=val/accuracy stopper.mode=max", monkeypatch)
    assert_starts(done)


TABLE = "space=nasbench201 evaluator=nasbench201 data=none engine=py"
OWN = "evaluator=function evaluator.fn._target_=toy.no_training trust=[toy]"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("space=mlp screen.proxy=naswott", "screen.proxy is 'naswott'; there are params, "
         "grad_norm, snip, synflow, naswot, jacob_cov. Did you mean 'naswot'?"),
        ("space=mlp screen.proxy=params screen.candidates=1",
         "screen.candidates is 1: Input should be greater than or equal to 2."),
        ("space=mlp screen={candidates:4}", "The key 'screen.proxy' is missing in the config."),
        ("space=mlp screen.proxy=params screen.candidate=4",
         "There is no key 'screen.candidate' in the config. Did you mean 'candidates'?"),
        ("space=mlp screen=naswot", "screen is 'naswot'; it must be a mapping of keys to values."),
        ("space=mlp strategy=grid screen.proxy=params",
         "screen is given, but Grid has one sample for each trial, and not several to choose from; "
         "random, evolution, "),
        ("space=mlp strategy=local_search screen.proxy=params", "but LocalSearch has one sample"),
        (f"space=mlp {OWN} screen.proxy=snip",
         "screen.proxy is 'snip', which needs a training loss, and evaluator (Function) has none "
         "to offer; params, synflow, naswot and jacob_cov need none."),
        (f"{TABLE} screen.proxy=params",
         "screen is given, but evaluator (Tabular) looks results up, whose models have no layers "
         "to be screened; leave screen out."),
        ("space=mlp +proxy.mine._target_=os.system screen.proxy=mine",
         "proxy.mine._target_ 'os.system' is not on the allowlist"),
        ("space=mlp +proxy.mine._target_=runner.measures.params.ParameterCount screen.proxy=mine",
         "proxy.mine must be a Proxy."),
    ],
)  # fmt: skip
def test_a_screen_that_cannot_be_is_refused(line, text, here, monkeypatch):
    done = attempt(line, monkeypatch)
    assert done.code == 2, done.err
    [said] = done.err.splitlines()
    assert said.startswith("error: ") and text in said


def test_a_screen_by_a_proxy_that_needs_no_loss_goes_with_training_code_of_the_users(
    here, monkeypatch
):
    assert_starts(attempt(f"space=mlp {OWN} screen.proxy=naswot", monkeypatch))
