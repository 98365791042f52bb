"""Inheritance: what models start from, from the plan to the worker, and in whole searches."""

import json
import shutil
import sqlite3
from dataclasses import replace

import pytest
import torch
from torch import nn

from runner.config.instantiate import build
from runner.engines import inheritance
from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.engines.inheritance import BaseModels
from runner.nn.values.build import sample as building
from runner.store import RECORD
from runner.trial import WEIGHTS, State, Trial, trial_folder
from runner.weights import save_weights

MUTATORS = ["Kernels", "Remove", "Fill"]
CONVNET = {"_target_": "mutable.ConvNet"}
AGES = {"_target_": "toy.Ages", "epochs": 2, "lr": 0.0, "sleep": 0.0}


def nodes(*mutators):
    return [{"_target_": f"mutable.{name}"} for name in mutators]


def engine(*mutators, space=CONVNET, shape=(1, 8, 8), weights="inherit") -> BaseEngine:
    return BaseEngine(
        shape, space=space, mutators=nodes(*mutators), trust=["mutable"], weights=weights
    )


def given(made, trial, folder) -> tuple[nn.Module, float, str]:
    """The model of a trial as its training begins, the share it inherited, and the report."""
    [job] = made.plan([trial])
    [recipe] = json.loads(json.dumps(job.recipes))
    torch.manual_seed(trial.seed)
    model = made.build(recipe, folder)
    before = torch.get_rng_state()
    metrics = made.inherit(recipe, model, folder, BaseModels())
    assert torch.equal(torch.get_rng_state(), before)
    report = (trial_folder(folder, trial.number) / "inherited.txt").read_text()
    return model, metrics["inherited"], report


def ended(made, trial, model, folder):
    """Have a trial end, with weights that are known by their number."""
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            parameter.fill_(100 * trial.number + place)
    save_weights(model, trial_folder(folder, trial.number) / WEIGHTS)
    made.observe(replace(trial, state=State.FINISHED, scores=(1.0,)))


def base_model(sample, space=CONVNET) -> nn.Module:
    torch.manual_seed(inheritance.SEED)
    with building(sample):
        return build(space, ["mutable"])


def assert_equal(one, other, but=()):
    state = other.state_dict()
    assert one.state_dict().keys() == state.keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, state[name]) == (name not in but), name


def default(made, **values):
    """The default sample, with other values for some labels: `_` stands for `/`."""
    return made.space.draw(lambda c: values.get(c.label.replace("/", "_"), c.default))


def test_without_inheritance_a_recipe_says_nothing_of_it():
    made = engine(*MUTATORS, weights=None)
    [job] = made.plan([Trial(0, default(made), 0, parent=3)])
    assert {*job.recipes[0]} == {"trial", "sample", "source", "constants"}
    assert made.inherit(job.recipes[0], nn.Linear(1, 1), None, BaseModels()) == {}


@pytest.mark.parametrize("width", [4, 6])
def test_a_model_starts_from_the_base_model_of_its_own_inline_choices(width, tmp_path):
    made = engine(*MUTATORS)
    expected = base_model({"width": width})
    for number in range(2):
        model, share, report = given(made, Trial(number, default(made, width=width), 7), tmp_path)
        assert_equal(model, expected)
        assert share == 1 and report.startswith("100.0% of ")
        assert "stem           whole, from the base model\n" in report
    sample = default(made, width=width, **{"fill_blocks.0.spot": "norm"})
    model, share, report = given(made, Trial(2, sample, 7), tmp_path)
    assert share < 1 and "blocks.0.spot  first values of its own\n" in report


def test_pretrained_weights_come_by_the_users_own_node(tmp_path):
    made = engine(space={"_target_": "mutable.Pretrained", "value": 7.0}, shape=(3,))
    model, _, _ = given(made, Trial(0, {}, 0), tmp_path)
    assert model.head.weight.eq(35.0).all()


def test_a_child_starts_from_its_parent_and_has_of_the_base_model_what_that_lacks(tmp_path):
    made = engine(*MUTATORS)
    sample = default(made, **{"remove_blocks.1": True, "fill_blocks.0.spot": "norm"})
    parent = Trial(3, sample, 1)
    model, _, _ = given(made, parent, tmp_path)
    ended(made, parent, model, tmp_path)
    assert made.inherits

    child, share, report = given(made, Trial(8, sample, 2, parent=3), tmp_path)
    assert_equal(child, model)
    assert share == 1 and "Its parent is trial 3" in report

    fuller = default(made, **{"fill_blocks.0.spot": "norm"})
    child, share, report = given(made, Trial(9, fuller, 2, parent=3), tmp_path)
    assert share == 1
    assert torch.equal(child.stem.weight, model.stem.weight)
    assert torch.equal(child.blocks[0].spot.weight, model.blocks[0].spot.weight)
    assert torch.equal(child.blocks[1].conv.weight, base_model({"width": 4}).blocks[1].conv.weight)
    assert "blocks.0       whole, from trial 3" not in report
    assert "blocks.0.conv  whole, from trial 3\n" in report
    assert "blocks.1.conv  whole, from the base model\n" in report


def test_a_parent_of_another_width_leaves_to_the_base_model_what_does_not_fit(tmp_path):
    made = engine(*MUTATORS)
    parent = Trial(3, default(made), 1)
    model, _, _ = given(made, parent, tmp_path)
    ended(made, parent, model, tmp_path)
    child, share, _ = given(made, Trial(4, default(made, width=6), 1, parent=3), tmp_path)
    assert share == 1
    assert torch.equal(child.stem.weight, base_model({"width": 6}).stem.weight)
    assert torch.equal(child.head.bias, model.head.bias)


@pytest.mark.parametrize("known", [True, False])
def test_a_parent_whose_weights_are_gone_leaves_all_to_the_base_model(known, tmp_path):
    made = engine(*MUTATORS)
    parent = Trial(3, default(made), 1)
    if known:
        ended(made, parent, given(made, parent, tmp_path)[0], tmp_path)
        (trial_folder(tmp_path, 3) / WEIGHTS).unlink()
    child, share, report = given(made, Trial(4, default(made), 2, parent=3), tmp_path)
    assert_equal(child, base_model({"width": 4}))
    assert share == 1
    assert ("The weights of its parent, trial 3, were not kept.\n" in report) == known


def test_the_weights_of_a_parent_that_shares_a_result_are_those_of_the_other(tmp_path):
    made = engine(*MUTATORS)
    first = Trial(3, default(made), 1)
    model, _, _ = given(made, first, tmp_path)
    ended(made, first, model, tmp_path)
    made.observe(replace(first, number=5, duplicate_of=3, state=State.FINISHED, scores=(1.0,)))
    child, _, report = given(made, Trial(6, default(made), 2, parent=5), tmp_path)
    assert_equal(child, model)
    assert "Its parent is trial 3" in report


def test_the_hyperparameters_of_a_parent_are_no_choices_of_its_model(tmp_path):
    made = engine(*MUTATORS)
    parent = Trial(3, {**default(made), "evaluator.lr": 0.1}, 1)
    model, _, _ = given(made, parent, tmp_path)
    ended(made, parent, model, tmp_path)
    child = Trial(4, {**default(made), "evaluator.lr": 0.2}, 1, parent=3)
    assert_equal(given(made, child, tmp_path)[0], model)


def test_tied_weights_of_a_parent_are_found_under_all_their_names(tmp_path):
    made = engine("Looks", space={"_target_": "mutable.Initialized"}, shape=None)
    parent = Trial(0, default(made), 1)
    model, _, _ = given(made, parent, tmp_path)
    ended(made, parent, model, tmp_path)
    child, share, _ = given(made, Trial(1, default(made), 2, parent=0), tmp_path)
    assert_equal(child, model)
    assert share == 1 and child.head.weight is child.embed.weight


def test_widths_follow_from_the_base_model_and_from_a_parent(tmp_path):
    space = {"_target_": "mutable.Pretrained", "value": 0.1}
    width = {"_target_": "runner.mutators.width.Width", "on": "body.2", "width": [1.0, 0.5, 1.5]}
    made = BaseEngine((3,), space=space, mutators=[width], trust=["mutable"], weights="inherit")
    label = "width_body.2"
    base = base_model({}, space)
    parent = Trial(0, default(made, **{label: 0.5}), 1)
    model, share, report = given(made, parent, tmp_path)
    kept = sorted(base.body[2].weight.norm(dim=1).argsort(descending=True)[:2].tolist())
    assert torch.equal(model.body[2].weight, base.body[2].weight[kept])
    assert share == 1 and "body.2       2 of 4 in dimension 0, from the base model\n" in report

    save_weights(model, trial_folder(tmp_path, 0) / WEIGHTS)
    made.observe(replace(parent, state=State.FINISHED, scores=(1.0,)))
    child, share, report = given(
        made, Trial(1, default(made, **{label: 1.5}), 2, parent=0), tmp_path
    )
    x = torch.randn(5, 3)
    torch.testing.assert_close(child(x), model(x), rtol=0, atol=1e-5)
    assert share == 1 and "body.2       2 widened to 6 in dimension 0, from trial 0\n" in report


# Whole searches


def base_engine(*, space, trust):
    return BaseEngine(
        (1, 8, 8), space=space, mutators=nodes(*MUTATORS), trust=trust, weights="inherit"
    )


def cgo_engine(*, space, trust):
    given = {"space": space, "mutators": nodes(*MUTATORS), "trust": trust}
    return CgoEngine(3, (1, 8, 8), **given, weights="inherit")


def searched(search, trials, strategy="evolution", engine=base_engine):
    path = "cgo.CgoEngine" if engine is cgo_engine else "base.BaseEngine"
    return search.run(
        trials, space=CONVNET, evaluator=AGES, strategy=strategy, engine=engine, seed=2,
        builds=f"runner.engines.{path}",
    )  # fmt: skip


def history(trials):
    return [
        (t.number, t.sample, t.state, dict(t.metrics), t.score, t.duplicate_of, t.parent)
        for t in trials
    ]


def first_weight(trials, trial) -> float:
    """What the first weight of a trial's model, of its stem, is in the end: two epochs older than
    that of its parent."""
    if trial.duplicate_of is not None:
        return first_weight(trials, trials[trial.duplicate_of])
    width = trial.sample["width"]
    parent = None if trial.parent is None else trials[trial.parent]
    if parent is None or parent.sample["width"] != width:
        return base_model({"width": width}).stem.weight.flatten()[0].item() + 2
    return first_weight(trials, parent) + 2


@pytest.mark.parametrize("engine", [base_engine, cgo_engine])
def test_in_a_search_children_go_on_where_their_parents_ended(engine, search):
    trials = searched(search, 16, engine=engine)
    assert all(trial.scored for trial in trials)
    assert {trial.parent is None for trial in trials[:4]} == {True}
    ages = set()
    for trial in trials:
        last = trial.metrics["val/first"] + 1
        assert last == pytest.approx(first_weight(trials, trial), abs=1e-4)
        assert 0 < trial.metrics["inherited"] <= 1
        ages.add(round(last - base_model(trial.sample).stem.weight.flatten()[0].item()))
    assert len(ages) > 2


def test_without_parents_all_start_from_the_base_model(search):
    for trial in searched(search, 5, strategy="random"):
        assert trial.parent is None
        first = base_model(trial.sample).stem.weight.flatten()[0].item()
        assert trial.metrics["val/first"] == pytest.approx(first + 1, abs=1e-5)


def test_a_search_cut_at_any_event_goes_on_with_the_same_parents(new_search):
    whole = new_search()
    expected = history(searched(whole, 9))
    assert any(line[-1] is not None for line in expected)
    db = sqlite3.connect(whole.folder / RECORD)
    events = db.execute("select count(*) from events").fetchone()[0]
    db.close()
    for keep in range(1, events, 4):
        part = new_search()
        shutil.copytree(whole.folder, part.folder)
        db = sqlite3.connect(part.folder / RECORD)
        db.execute("delete from events where id > ?", (keep,))
        db.commit()
        db.close()
        assert history(searched(part, 9)) == expected, f"cut behind event {keep}"
