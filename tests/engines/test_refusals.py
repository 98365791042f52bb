"""Spaces that refuse samples: the same ones on every engine, told, and others drawn."""

import json
import re
from functools import partial

import pytest
import torch
from searches import GOALS, STRATEGIES, Search, cut

from runner import nn
from runner.engines.base import BaseEngine
from runner.engines.cgo import CgoEngine
from runner.engines.py import PyEngine
from runner.engines.refusals import refusals
from runner.errors import Refused, RunFailed, SpaceError
from runner.space.sample import generator
from runner.store import RECORD, read
from runner.trial import Trial

ENGINES = {"py": PyEngine, "base": BaseEngine, "cgo": partial(CgoEngine, 1, (2,))}
BUILDS = {name: f"runner.engines.{name}.{name.title()}Engine" for name in ENGINES}
REASONS = {
    "Cells": {"edges are more than 4", "a node lies on no way from the input to the output"},
    "Counted": {"more than 100 parameters"},
    "ByHand": {"more than 100 parameters", "a width of 8"},
    "Nested": {"a kernel of 3 in a part", "an act that never fits"},
    "Inside": {"3 features do not fit"},
}


def space(name, **given):
    return {"_target_": f"refusing.{name}", **given}


def made(name, engine, **given):
    node = space(name, **given)
    return ENGINES[engine](space=node, trust=["refusing"])


def run(folder, name, engine, trials=6, **given):
    """The history of a search, without its times."""
    search = Search(folder / "run")
    arguments = {"space": space(name), "engine": partial(_trusting, engine), **given}
    return history(search.run(trials, builds=BUILDS[engine], **arguments))


def _trusting(engine, space, trust):
    return ENGINES[engine](space=space, trust=["refusing"])


def history(trials):
    return [(t.number, t.sample, t.seed, dict(t.metrics), t.duplicate_of, t.parent, str(t.failure))
            for t in trials]  # fmt: skip


def built(engine, sample):
    [job] = engine.plan([Trial(0, sample, 7)])
    torch.manual_seed(7)
    [recipe] = json.loads(json.dumps(job.recipes))
    return engine.build(recipe)


@pytest.mark.parametrize("engine", ["base", "cgo"])
@pytest.mark.parametrize("name", REASONS)
def test_what_is_not_refused_is_the_same_model_on_all_engines(name, engine):
    ours, theirs = made(name, engine), made(name, "py")
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(1))
    compared = 0
    for sample in [*theirs.space.enumerate()][:: 5 if name == "Cells" else 1]:
        try:
            theirs.key(sample)
        except Refused:
            continue
        models = [built(engine, sample).eval() for engine in (ours, theirs)]
        models[0].load_state_dict(models[1].state_dict())
        torch.testing.assert_close(models[0](x), models[1](x))
        compared += 1
    assert compared


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", REASONS)
def test_a_sample_is_refused_with_the_reason_and_all_others_have_a_model(name, engine):
    made_here = made(name, engine)
    fates = set()
    for sample in [*made_here.space.enumerate()][:: 3 if name == "Cells" else 1]:
        try:
            with nn.sample(sample):
                getattr(__import__("refusing"), name)()
            expected = ""
        except Refused as refused:
            expected = " ".join(str(refused).split())
        try:
            made_here.key(sample)
            found = ""
        except Refused as refused:
            found = " ".join(str(refused).split())
        assert found == expected, sample
        fates.add(re.sub(r"^\d (?=edges)", "", found))
    assert fates == {"", *REASONS[name]}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_is_the_same_on_all_engines_and_goes_on_exactly(strategy, tmp_path):
    """Refused samples cost no budget; those after them have the seeds they would have had."""
    whole = Search(tmp_path / "py" / "run")
    expected = history(
        whole.run(6, strategy=strategy, space=space("Cells"), engine=partial(_trusting, "py"))
    )
    assert any("refused" in line[-1] for line in expected)
    assert sum(line[-1] == "None" and line[4] is None for line in expected) >= 2
    engine = "cgo" if strategy == "evolution" else "base"
    found = run(tmp_path / engine, "Cells", engine, strategy=strategy)
    assert [line[:3] for line in found] == [line[:3] for line in expected]
    content = (whole.folder / RECORD).read_bytes()
    for keep in (9, len(expected), 2 * len(expected)):
        part = Search(tmp_path / f"cut{keep}" / "run")
        part.folder.mkdir(parents=True)
        (part.folder / RECORD).write_bytes(content)
        cut(part.folder, keep)
        again = part.run(6, strategy=strategy, space=space("Cells"),
                         engine=partial(_trusting, "py"))  # fmt: skip
        assert history(again) == expected, f"cut behind event {keep}"


@pytest.mark.parametrize(("wide", "why"), [
    (False, "exhausted, and all of its 3 samples were refused; the last one: nothing fits"),
    (True, "200 proposals in a row were refused; the last one: nothing fits"),
])  # fmt: skip
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_space_that_refuses_everything_ends_the_run(strategy, wide, why, tmp_path):
    if strategy in ("evolution", "tpe") and wide:
        pytest.skip("as random")
    with pytest.raises(RunFailed, match=why):
        run(tmp_path, "Nobody", "py", strategy=strategy, space=space("Nobody", wide=wide))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_grid_leaves_out_what_is_refused_and_then_has_seen_everything(engine, tmp_path):
    lines = run(tmp_path, "ByHand", engine, 9, strategy="grid")
    assert [line[1]["width"] for line in lines] == [4, 40, 8, 16]
    assert ["refused" in line[-1] for line in lines] == [False, True, True, False]


def test_few_samples_that_fit_are_found_and_no_more_are_drawn(tmp_path):
    search = Search(tmp_path / "run")
    search.run(9, strategy="random", space=space("ByHand"), engine=partial(_trusting, "py"))
    own = [t for t in search.trials if not t.refused and t.duplicate_of is None]
    assert len(own) <= 2 and len(search.trials) < 60
    assert "exhausted" in search.progress.notes[0]


def test_what_refuses_where_it_is_built_only_is_refused_there(tmp_path):
    """A condition that does not hold on meta, as one on first values."""
    search = Search(tmp_path / "run")
    search.run(3, space={"_target_": "refusing.Counted"}, engine=_Blind, strategy="grid",
               )  # fmt: skip
    fates = [(t.sample["width"], str(t.failure)) for t in read(search.folder, GOALS).trials]
    assert fates[1] == (40, "refused: more than 100 parameters")
    assert [width for width, _ in fates] == [4, 40, 8, 16]


def _Blind(space, trust):
    engine = PyEngine(space=space, trust=["refusing"])
    engine.space.check = lambda sample: None
    return engine


def test_refusing_while_a_model_runs_is_an_error_that_says_so():
    from refusing import TooLate

    with pytest.raises(SpaceError, match=r"refusing.py:\d+: .*while the model runs.*__init__"):
        TooLate()(torch.zeros(1, 2))


@pytest.mark.parametrize("engine", ENGINES)
def test_why_random_samples_are_refused_is_told_without_making_graphs(engine):
    found = refusals(made("Nested", engine), range(20), mutated=False)
    assert 5 < len(found) < 20 and {*found} == REASONS["Nested"]


def test_a_model_to_be_mutated_refuses_its_own_samples():
    engine = BaseEngine(
        space=space("Plain"), trust=["refusing", "mutable"], input=(2,),
        mutators=[{"_target_": "mutable.Renew", "cls": "ReLU", "names": ["ReLU", "Tanh"]}],
    )  # fmt: skip
    samples = [*engine.space.enumerate()]
    assert [sample["width"] for sample in samples] == [4, 6, 6, 8, 8]
    with pytest.raises(Refused, match="a width of 4"):
        engine.key(samples[0])
    assert len({engine.key(sample) for sample in samples[1:]}) == 4
    with pytest.raises(Refused, match="a width of 4"):
        engine.places()
    assert {engine.space.random(generator(0, i))["width"] for i in (1, 2)} <= {6, 8}
