"""Hydra's syntax of sweeps as choices, and samples as overrides."""

from types import SimpleNamespace

import pytest

from runner.errors import ConfigError
from runner.space.choice import Categorical, Numeric
from runner.space.sample import generator
from runner.sweeps.swept_space import SweptSpace

LOADER = SimpleNamespace(get_group_options=lambda *_, **__: ["random", "tpe", "rl"])


def space_of(*overrides):
    return SweptSpace(overrides, LOADER)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("a=1,2", Categorical("a", ("1", "2"))),
        ("a=choice(x,[1,2])", Categorical("a", ("x", "[1,2]"))),
        ("a='x y',null,true", Categorical("a", ("'x y'", "null", "True"))),
        ("a=range(1,9,2)", Numeric("a", 1, 7, step=2)), ("a=range(3)", Numeric("a", 0, 2, step=1)),
        ("a=tag(log,range(1,9))", Numeric("a", 1, 8, step=1, log=True)),
        ("a=range(0,1,0.25)", Categorical("a", ("0.0", "0.25", "0.5", "0.75"))),
        ("a=range(3,0,-1)", Categorical("a", ("3", "2", "1"))),
        ("a=interval(0,1)", Numeric("a", 0.0, 1.0)),
        ("a=tag(log,interval(1e-4,1e-1))", Numeric("a", 1e-4, 1e-1, log=True)),
        ("a=tag(int,interval(1,8))", Numeric("a", 1, 8, step=1)),
        ("a=int(interval(1,8))", Numeric("a", 1, 8, step=1)),
        ("a=tag(int,log,interval(1,8))", Numeric("a", 1, 8, step=1, log=True)),
        ("strategy=glob(r*)", Categorical("strategy", ("random", "rl"))),
    ],
)  # fmt: skip
def test_each_form_of_a_sweep_is_a_choice(text, choice):
    [found] = space_of(text).space.choices
    assert found == choice and type(found) is type(choice)


def test_a_sample_becomes_overrides_which_mean_it():
    swept = space_of("seed=3", "++lr=interval(0.1,1)", "strategy=random,tpe", "~x", "seed=4",
                     "+n=range(1,5)", "text='a b','c,d'")  # fmt: skip
    sample = swept.space.random(generator(0))
    found = swept.overrides(sample)
    assert found[:2] == ["seed=4", "~x"], "the last one counts"
    assert (
        found[2] == f"++lr={sample['lr']!r}" and float(found[2].partition("=")[2]) == sample["lr"]
    )
    assert found[3] in ("strategy=random", "strategy=tpe")
    assert found[4] == f"+n={sample['n']}" and isinstance(sample["n"], int)
    assert found[5] in ("text='a b'", "text='c,d'")


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["seed=1"], "no key has alternatives"), ([], "no key has alternatives"),
        (["a=tag(wide,interval(0,1))"], "a has the tag wide; known are float, int, log."),
        (["a=tag(int,interval(0.5,2))"], "both ends must be whole numbers"),
        (["a=tag(log,choice(1,2))"], "has tags, which are for an interval"),
        (["a=interval(2,1)"], "low is above high"), (["a=1,1"], "lists a candidate twice"),
        (["a=tag(log,interval(-1,1))"], "a log scale needs low > 0"),
        (["a=interval(0,1e400)"], "both ends must be finite"),
    ],
)  # fmt: skip
def test_what_is_no_choice_is_refused(texts, why):
    with pytest.raises(ConfigError, match=why):
        space_of(*texts)
