"""Questions about what was chosen: engine base answers them as engine py does, for every sample."""

import pytest
import torch

from runner.engines.base import BaseEngine
from runner.engines.py import PyEngine
from runner.graph.validation.equivalence import MODES, difference, run
from runner.trial import Trial

NAMES = (
    *("Has", "Is", "OfType", "Counts", "InALoop", "Numbered", "ByAnotherName", "Gets", "Reads"),
    *("OfAChild", "OfAValue", "Children", "NamedChildren", "HowManyModules", "BehindAValue"),
    *("BehindData", "EachBlock", "OfAnAttribute", "GivenAway"),
)
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def built(made, sample):
    [job] = made.plan([Trial(0, sample, 0)])
    return made.build(job.recipes[0])


@pytest.mark.parametrize("shape", [None, (4,)], ids=["read", "validated"])
@pytest.mark.parametrize("name", NAMES)
def test_what_was_chosen_is_asked_in_each_sample(name, shape):
    given = {"space": {"_target_": f"questions.{name}"}, "trust": ["questions"]}
    ours, theirs = BaseEngine(shape, **given), PyEngine(**given)
    for sample in [*theirs.space.enumerate()]:
        model, expected = built(ours, sample), built(theirs, sample)
        model.load_state_dict(expected.state_dict())
        for mode in MODES:
            assert not difference(
                run(model, (X,), {}, mode=mode), run(expected, (X,), {}, mode=mode)
            )
