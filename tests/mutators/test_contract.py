"""What all mutators that work at places have in common: what they ask, and what they refuse."""

from functools import partial

import pytest
from residual import built, converted, keys, mutated, source
from torch import nn

from runner.errors import ConfigError
from runner.mutators.bypass import Bypass
from runner.mutators.depth import Depth
from runner.mutators.insert import Insert
from runner.mutators.kernel import Kernel
from runner.mutators.remove import Remove
from runner.mutators.replace import Replace
from runner.mutators.skip import Skip

# A class, a path with two places, candidates of which the first changes nothing, and another.
CASES = [
    (Replace, "layer1.*.relu", ["ReLU", "SiLU"]),
    (Kernel, "layer1.*.conv", [3, 5]),
    (Depth, "**layer1", [2, 1]),
    (Insert, "layer1.*", [None, "BatchNorm2d"]),
    (Remove, "layer1.*", [False, True]),
    (Bypass, "layer1.*", [False, True]),
    (Skip, "layer1.*", [False, True]),
]
cases = pytest.mark.parametrize(
    ("cls", "on", "candidates"), CASES, ids=[case[0].__name__ for case in CASES]
)


def make(cls, on, candidates, **kwargs):
    word = cls.__name__.lower()
    return cls(on=on, **{word: candidates}, **kwargs)


@cases
def test_the_first_candidates_leave_the_model_as_it_was(graph, cls, on, candidates):
    same, sample = mutated(graph, make(cls, on, candidates))
    assert source(same) == source(graph)
    assert [*sample.values()] == [candidates[0]] * len(sample)
    assert all(label.startswith(f"{cls.__name__.lower()}/layer1") for label in sample)


@cases
def test_one_choice_for_all_places_has_the_pattern_as_label(graph, cls, on, candidates):
    _, sample = mutated(graph, make(cls, on, candidates, tie=True))
    assert sample == {f"{cls.__name__.lower()}/{on}": candidates[0]}


@cases
def test_a_single_value_decides(graph, cls, on, candidates):
    changed, sample = mutated(graph, make(cls, on, candidates[1]))
    assert sample == {}
    assert source(changed) != source(graph)
    built(changed)


@cases
def test_a_changed_model_is_the_one_that_the_sample_says(graph, cls, on, candidates):
    mutator = make(cls, on, candidates)
    _, sample = mutated(graph, mutator)
    wanted = {**sample, [*sample][-1]: candidates[1]}
    changed, asked = mutated(graph, mutator, sample=wanted)
    assert asked == wanted
    again, _ = mutated(graph, mutator, sample=wanted)
    assert source(again) == source(changed)
    assert keys(built(again)) == keys(built(changed))


@cases
def test_what_the_config_gets_wrong_is_said_at_once(cls, on, candidates):
    word = cls.__name__.lower()
    with pytest.raises(ConfigError, match=f"{word} does not select a place"):
        make(cls, "", candidates)
    with pytest.raises(ConfigError, match=f"{word}: the list of candidates is empty"):
        make(cls, on, [])
    with pytest.raises(ConfigError, match=word):
        make(cls, on, [candidates[1], object()])
    with pytest.raises(ConfigError, match=f"{word} lists a candidate twice"):
        make(cls, on, [candidates[1], candidates[1]])
    if not cls.takes_calls:
        with pytest.raises(ConfigError, match="applies to modules, not to calls"):
            cls(op="relu", **{word: candidates})


@cases
def test_a_path_that_fits_nothing_is_named_with_near_ones(graph, cls, on, candidates):
    with pytest.raises(ConfigError, match=r"no path of the model matches 'layr1'.*'layer1'"):
        mutated(graph, make(cls, "layr1", candidates))


def test_candidates_stand_in_the_sample_under_names_that_tell_them_apart(graph):
    classes = ["ReLU", partial(nn.ReLU, inplace=False), partial(nn.LeakyReLU, negative_slope=0.3)]
    names = ["ReLU", "ReLU(inplace=False)", "LeakyReLU"]
    for name in names:
        _, sample = mutated(
            graph, Replace(cls="ReLU", replace=classes, tie=True), sample={"replace/ReLU": name}
        )
        assert sample == {"replace/ReLU": name}
    inserted = [None, partial(nn.BatchNorm2d)]
    _, sample = mutated(graph, Insert(on="pool", insert=inserted))
    assert sample == {"insert/pool": "none"}


def test_two_mutators_of_one_place_have_choices_of_their_own(graph):
    both = [Insert(on="pool", insert=[None, name]) for name in ("BatchNorm2d", "ReLU")]
    sample = {"insert/pool": "BatchNorm2d", "insert/pool#2": "ReLU"}
    changed, asked = mutated(graph, *both, sample=sample)
    assert asked == sample
    assert "pool_batch_norm2d(self.pool_relu" in source(changed).replace("\n", "")


def test_all_of_them_at_once():
    graph = converted()
    every = [
        Replace(cls="ReLU", replace="GELU"),
        Kernel(on="stem", kernel=5),
        Depth(on="blocks", depth=4),
        Insert(on="blocks.1", insert="BatchNorm2d", where="input"),
        Remove(on="drop", remove=True),
        Bypass(on="blocks.0", bypass=True),
        Skip(on="layer1.0", to="layer1.1", skip=True),
    ]
    changed, _ = mutated(graph, *every)
    model = built(changed)
    assert model.stem.weight.shape == (8, 3, 5, 5)
    assert [*dict(model.blocks.named_children())] == ["1", "2", "3"]
    assert len(changed.history) == len(every)
