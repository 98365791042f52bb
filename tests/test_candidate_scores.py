"""Scores of candidates in a worker: the examples, the loss, and what a model may do with them."""

import math

import pytest
import torch
from torch import nn

from runner.candidate_scores import CandidateScores
from runner.data.data import SearchData
from runner.data.splits import TensorSplit
from runner.proxies.proxy import Proxy

CPU = torch.device("cpu")
INPUTS = torch.arange(40.0).view(20, 2)
SPLIT = TensorSplit(INPUTS, torch.arange(20) % 2)
PARAMS = {"_target_": "runner.proxies.params.ParameterProxy"}


class Sees(Proxy):
    """Remembers what it was shown, and spoils it."""

    def __init__(self) -> None:
        self.seen = []

    def score(self, model, batch, loss):
        self.seen.append((batch[0].clone(), batch[1].clone(), loss))
        batch[0].zero_()
        return model.bias.sum()


def scoring(size=6, proxy=None):
    scores = CandidateScores({"proxy": PARAMS, "batch_size": size}, ())
    if proxy is not None:
        scores.__dict__["_proxy"] = proxy
    return scores


def data():
    return "key", SearchData(SPLIT, SPLIT)


def test_all_candidates_are_shown_the_same_examples_whatever_one_does_to_them():
    sees, before = Sees(), INPUTS.clone()
    scores = scoring(proxy=sees)
    for _ in range(3):
        scores.of(nn.Linear(2, 2), data, None, CPU)
    first, *rest = sees.seen
    assert len(first[0]) == len(first[1]) == 6
    assert all(torch.equal(one[0], first[0]) and torch.equal(one[1], first[1]) for one in rest)
    assert torch.equal(INPUTS, before)
    again = Sees()
    scoring(proxy=again).of(nn.Linear(2, 2), data, None, CPU)
    assert torch.equal(again.seen[0][0], first[0]), "in another process, too"


def test_the_examples_are_a_random_part_of_those_to_train_on():
    sees = Sees()
    scoring(proxy=sees).of(nn.Linear(2, 2), data, None, CPU)
    [(inputs, targets, _)] = sees.seen
    places = [INPUTS.tolist().index(row) for row in inputs.tolist()]
    assert places != sorted(places) and [place % 2 for place in places] == targets.tolist()


def test_other_data_has_other_examples():
    sees = Sees()
    scores = scoring(proxy=sees)
    scores.of(nn.Linear(2, 2), data, None, CPU)
    split = TensorSplit(INPUTS + 100, torch.zeros(20, dtype=torch.int64))
    scores.of(nn.Linear(2, 2), lambda: ("other", SearchData(split, split)), None, CPU)
    assert torch.equal(sees.seen[1][0], sees.seen[0][0] + 100)


def test_what_needs_no_examples_loads_none():
    def broken():
        raise OSError("no data")

    assert scoring().of(nn.Linear(2, 3), broken, None, CPU) == 9


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_none(value):
    model = nn.Linear(2, 2)
    model.bias.data.fill_(value)
    with pytest.raises(ArithmeticError, match=f"its score is {value}"):
        scoring(proxy=Sees()).of(model, data, None, CPU)
