"""What follows from a choice, or was changed after construction, is in the source of each trial."""

import pytest
import torch

from runner.engines.base import BaseEngine
from runner.engines.py import PyEngine
from runner.graph.validation.equivalence import MODES, difference, run
from runner.trial import Trial

NAMES = (
    *("Function", "Dict", "Object", "Set", "Range", "Bool", "Lists", "Buffer", "Asks"),
    "Thresholds",
)
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def built(made, sample):
    torch.manual_seed(0)
    [job] = made.plan([Trial(0, sample, 0)])
    return made.build(job.recipes[0])


@pytest.mark.parametrize("shape", [None, (4,)], ids=["read", "validated"])
@pytest.mark.parametrize("name", NAMES)
def test_what_follows_from_a_choice_is_in_the_source(name, shape):
    given = {"space": {"_target_": f"derived.{name}"}, "trust": ["derived"]}
    ours, theirs = BaseEngine(shape, **given), PyEngine(**given)
    keys = set()
    samples = [*theirs.space.enumerate()]
    for sample in samples:
        keys.add(ours.key(sample))
        model, expected = built(ours, sample), built(theirs, sample)
        assert model.state_dict().keys() == expected.state_dict().keys(), sample
        for name_, value in expected.state_dict().items():
            if "kept" in name_ or "bias" in name_:
                assert name != "Buffer" or torch.equal(model.state_dict()[name_], value)
        model.load_state_dict(expected.state_dict())
        for mode in MODES:
            found = difference(run(model, (X,), {}, mode=mode), run(expected, (X,), {}, mode=mode))
            assert not found, (sample, mode)
    assert len(keys) == len(samples), "different models are not taken for one"


@pytest.mark.parametrize("shape", [None, (4,)], ids=["read", "validated"])
def test_what_a_factory_changes_is_in_the_source(shape):
    given = {"space": {"_target_": "derived.factory"}, "trust": ["derived"]}
    model, expected = built(BaseEngine(shape, **given), {}), built(PyEngine(**given), {})
    model.load_state_dict(expected.state_dict())
    assert torch.equal(model(X), expected(X))
