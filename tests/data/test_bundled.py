"""Tables that are read without scikit-learn are those that it loads."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits

from runner.data import diabetes, digits
from runner.data.bundled import bundled

LOADERS = {
    "digits": (digits, digits._digits, lambda: load_digits(return_X_y=True)),
    "diabetes": (diabetes, diabetes._diabetes,
                 lambda: load_diabetes(return_X_y=True, scaled=False)),
}  # fmt: skip


@pytest.mark.parametrize("name", LOADERS)
def test_the_values_are_those_of_scikit_learn(name):
    _, ours, theirs = LOADERS[name]
    for mine, wanted in zip(ours(), theirs(), strict=True):
        assert mine.shape == wanted.shape and np.array_equal(mine, wanted)


@pytest.mark.parametrize("name", LOADERS)
def test_a_release_that_keeps_them_elsewhere_loads_them_itself(name, monkeypatch):
    module, ours, _ = LOADERS[name]
    before = [torch.tensor(values) for values in ours()]
    monkeypatch.setattr(module, "bundled", lambda name, delimiter=None: None)
    after = [torch.tensor(values) for values in ours()]
    assert all(torch.equal(a, b.to(a.dtype)) for a, b in zip(after, before, strict=True))


def test_a_table_that_is_not_there_is_none():
    assert bundled("no_such_table.csv.gz") is None


@pytest.mark.parametrize(
    "make",
    ["digits import Digits as D; D([1, 8, 8], 10, 0.2, 0)",
     "diabetes import Diabetes as D; D([10], 1, 0.2, 0)"],
)  # fmt: skip
def test_loading_imports_neither_scikit_learn_nor_scipy(make):
    code = (
        f"import sys; from runner.data.{make.partition(';')[0]};"
        f"data = {make.partition('; ')[2]}; assert len(data.search().train) > 200;"
        "assert not {'sklearn', 'scipy'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
