"""Which modules trials share is found from what training names."""

import collections
import json
import math
import random
import sys

import misbehaving
import numpy
import pytest
import torch
import users_module

from runner.training.state import watched as module
from runner.training.state.watched import MISSING, ModuleOwner, owner_of, watched, with_classes

USED = ("builtins", "torch", "torch.nn.functional", "torch.optim.sgd", "torch.linalg", "torch.amp",
        "torch.utils.data._utils.collate", "torch.autograd.function", "numpy", "numpy.random",
        "math", "random", "os", "copy", "json", "json.encoder", "functools", "warnings",
        "collections", "safetensors.torch")  # fmt: skip


def test_what_a_training_uses_is_watched():
    found = watched()
    assert {*USED} <= {*found} and next(iter(found)) == "builtins"
    assert not [name for name in found if name.startswith("runner.graph")]
    assert "__main__" not in found and all(name in sys.modules for name in found)


@pytest.mark.parametrize(("name", "owner"), [
    ("runner.worker", ModuleOwner.OURS), ("torch.nn.functional", ModuleOwner.LIBRARY),
    (users_module.__name__, ModuleOwner.USER), (misbehaving.__name__, ModuleOwner.USER),
    (math.__name__, None), (json.__name__, None), (pytest.__name__, None),
    (numpy.__name__, None), ("no.module", None), ("__main__", None),
])  # fmt: skip
def test_whose_a_module_is(name, owner):
    assert owner_of(name) is owner


def test_classes_of_what_users_name_count():
    found = with_classes(watched())
    assert {"users_module", "torch.optim.sgd", "collections", "runner.trial"} <= found
    assert not found & {*module.FAMILIES}


FUNCTION, OTHER = abs, collections.Counter


@pytest.mark.parametrize(("owner", "before", "now", "allows"), [
    (ModuleOwner.USER, None, torch.ones(1), True), (ModuleOwner.USER, MISSING, {}, True),
    (ModuleOwner.USER, None, 3, False), (ModuleOwner.USER, MISSING, OTHER, False),
    (ModuleOwner.USER, 1, 2, False), (ModuleOwner.USER, [1], [1], False),
    (ModuleOwner.USER, None, MISSING, False), (ModuleOwner.USER, 1, MISSING, False),
    (ModuleOwner.LIBRARY, 1, 2, True), (ModuleOwner.LIBRARY, [1], [2], True),
    (ModuleOwner.LIBRARY, FUNCTION, OTHER, False), (ModuleOwner.LIBRARY, 0.5, 0.6, False),
    (ModuleOwner.LIBRARY, FUNCTION, MISSING, False), (ModuleOwner.LIBRARY, MISSING, 3, True),
    (ModuleOwner.LIBRARY, MISSING, OTHER, False), (ModuleOwner.OURS, 1, 2, False),
    (ModuleOwner.OURS, None, 2, False), (ModuleOwner.OURS, MISSING, 2, True),
    (ModuleOwner.LIBRARY, random.random, random.random, True),
])  # fmt: skip
def test_what_a_trial_may_leave_in_place_of_another_value(owner, before, now, allows):
    assert owner.allows(before, now) is allows
