"""The default model on a few examples: what would fail in all trials is said before the first."""

import os
from pathlib import Path

import faults
import numpy
import pytest
import torch
from command_line import assert_refused, assert_starts, attempt
from torch.nn import functional

from runner import rehearsal
from runner.evaluators.function import Function

OURS = "trust=[examples] space._target_=examples.Linear space.classes=3 space.shape=[4] "
DATA = "data=dataset data.train._target_=examples.Pairs data.shape=[4] data.classes=3 "
WORDS = "data=dataset data.train._target_=examples.Words data.shape=[4] data.classes=3 "
BYTES = WORDS.replace("Words", "Bytes")
REGRESSION = "evaluator=regression objective.metric=val/r2 "


FAILS = [
    ("space=mlp space.classes=5", "The model has 5 outputs, too few for the classes of the data"),
    ("space.classes=9", "data.classes is 10."),
    ("space=mlp space.classes=5",
     "data.classes is 10. In the config, space.classes is 5, but data.classes is 10."),
    ("trust=[examples] space._target_=examples.Flat space.inputs=7",
     "space.inputs is 7, but data.shape is [1, 8, 8], which is 64 numbers."),
    ("trust=[examples] space._target_=examples.Choosing",
     "In the config, space.inputs is not set, but data.shape is [1, 8, 8], which is 64 numbers; "
     "space.classes is not set, but data.classes is 10."),
    ("engine=base space=mlp space.classes=5", "The model has 5 outputs"),
    ("engine=cgo space=mlp space.classes=5", "The model has 5 outputs"),
    ("space.shape=[3,32,32]", "to have 3 channels, but got 1 channels"),
    ("space=mlp space.shape=[3,32,32]", "mat1 and mat2 shapes cannot be multiplied"),
    ("space=mlp data.shape=[3,8,8] space.shape=[1,8,8]", "spaces/mlp.py:"),
    (f"{REGRESSION}data=diabetes space=mlp space.classes=3",
     "The model has 3 outputs, but data.classes is 1."),
    ("space=mlp evaluator.batch_size=1 space.norms=[batch]", "Expected more than 1 value per"),
    ("space=mlp evaluator.optimizer._target_=torch.optim.Muon", "Muon only supports 2D"),
    (f"{OURS}{DATA}space.fault=raises", "ValueError: not today ("),
    (f"{OURS}{DATA}space.fault=raises", "examples.py:"),
    (f"{OURS}{DATA}space.fault=raises evaluator.precision=bf16", "not today"),
    (f"{OURS}{DATA}space.fault=training", "not in training"),
    (f"{OURS}{DATA}space.fault=scoring", "not in eval"),
    (f"{OURS}{DATA}space.fault=frozen", "does not require grad"),
    (f"{OURS}{DATA}space.fault=tuple", "The model returns tuple; it must return a tensor."),
    (f"{OURS}{DATA}space.fault=rank", "The model returned [2, 1, 3]; classification needs"),
    (f"{OURS}{DATA}engine=base space.fault=raises", "not today"),
    ("trust=[examples] space._target_=examples.Weightless", "empty parameter list"),
    (f"{OURS}{DATA}evaluator.augment.crop=2", "not enough values to unpack"),
    (f"{OURS}{WORDS}", "data.train returns inputs of torch.int64, on which the default"),
    (f"{OURS}{WORDS}", "it works on torch.float32. Give the data set a transform that returns flo"),
    (f"{OURS}{BYTES}", "data.train returns inputs of torch.uint8"),
    (f"{OURS}{BYTES}engine=base", "data.train returns inputs of torch.uint8"),
    (f"{OURS}{WORDS}space.fault=raises", "not today"),  # on other inputs, too
    ("space=mlp training.device=cpu space.widths=[200000000]",
     "The default model has 15,000,000,010 parameters; training it needs at least 120 GB, and"),
    ("space=mlp data.shape=[1,100000,100000]", "data.shape is [1, 100000, 100000], which is 10,0"),
    ("space=mlp data.shape=[1,8,0]", "data.shape[2] is 0: Input should be greater"),
    ("data.shape=[8]", "data.shape is [8]: Value should have at least 3 items"),
    ("space.shape=[8]", "space.shape is [8]: Value should have at least 3 items"),
    ("space.kernels=[4]", "space.kernels[0] is 4; it must be odd."),
    ("space=mlp space.widths=[]", "space.widths is []; give at least one candidate: Choice"),
    ("engine=base space=mlp space.depths=[]", "space.depths is []; give at least one candidate"),
    ("space.stems=[]", "space.stems is []; give at least one candidate: Choice 'stem' has no"),
]  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("line", "text"), FAILS)
def test_a_default_model_that_fails_is_refused_in_one_line(line, text, here, monkeypatch):
    assert_refused(attempt(line.strip(), monkeypatch), text, here)


WORKS = [
    "trust=[examples] space._target_=examples.Flat",
    "space=mlp",
    "engine=base space=mlp",
    "engine=cgo space=mlp",
    "space=mlp evaluator.precision=bf16",
    "space=mlp evaluator.batch_size=1",
    "space=mlp evaluator.batch_size=100000",
    "space=mlp evaluator.augment.crop=1 evaluator.augment.flip=true",
    f"{REGRESSION}data=diabetes space=mlp",
    f"{OURS}{DATA}",
    f"{OURS}{DATA}space.fault=values",
    f"trust=[examples] space._target_=examples.Embedding space.classes=3 {WORDS}",
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("line", WORKS)
def test_what_works_starts(line, here, monkeypatch):
    assert_starts(attempt(line.strip(), monkeypatch))


@pytest.mark.parametrize("line", [WORKS[0], f"{OURS}{DATA}space.fault=values"])
def test_a_big_model_gets_no_values(line, here, monkeypatch):
    monkeypatch.setattr(rehearsal, "BIG", 10)
    assert_starts(attempt(line, monkeypatch))


def test_a_big_model_that_fails_is_refused_too(here, monkeypatch):
    monkeypatch.setattr(rehearsal, "BIG", 10)
    assert_refused(attempt("space=mlp space.classes=5", monkeypatch), "has 5 outputs", here)


def test_if_only_the_default_model_fails_others_are_tried(here, monkeypatch):
    done = attempt(f"{OURS}{DATA}space.fault=default", monkeypatch)
    assert_starts(done)
    assert "8 is too few" in " ".join(done.out.split())


def test_more_outputs_than_classes_are_said(here, monkeypatch):
    done = attempt("space=mlp space.classes=12", monkeypatch)
    assert_starts(done)
    assert "12 outputs, more than the data has classes" in " ".join(done.out.split())


@pytest.mark.watched
def test_random_numbers_are_as_if_nothing_had_run(here, monkeypatch):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    attempt(WORKS[0], monkeypatch)
    assert torch.equal(torch.get_rng_state(), before)


FAULTS = f"trust=[examples,faults] {DATA}space._target_=faults."


@pytest.mark.parametrize(
    "line",
    [
        "Crowd evaluator.batch_size=16",
        "Crowd evaluator.batch_size=16 space.how=raise",
        "Crowd evaluator.batch_size=1000 space.how=raise",
        "Cached",
        "Cached space.how=attribute",
        "cached_model",
    ],
)
def test_a_model_that_can_train_starts(line, here, monkeypatch):
    faults.positions.cache_clear()
    faults.cached_model.cache_clear()
    assert_starts(attempt(f"{FAULTS}{line}", monkeypatch))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("Crowd evaluator.batch_size=8", "out of range"),
        ("Crowd evaluator.batch_size=8 space.how=raise", "a batch of 2 is too small"),
        ("Crowd space.least=500", "out of range"),  # more than there are to train on
        ("Acting +space.run=exit", "fails on an example: SystemExit: 3"),
        ("Acting +space.run=exit engine=base", "fails on an example: SystemExit: 3"),
        ("Acting +space.run=stop", "fails on an example: Stop: no more"),
    ],
)
def test_a_model_that_cannot_train_is_refused(line, text, here, monkeypatch):
    assert_refused(attempt(f"{FAULTS}{line}", monkeypatch), text, here)


@pytest.mark.parametrize(("act", "text"), [("exit", "SystemExit: 3"), ("stop", "Stop: no more")])
def test_a_constructor_that_ends_the_program_is_named(act, text, here, monkeypatch):
    done = attempt(f"{FAULTS}Acting +space.made={act}", monkeypatch)
    [line] = done.err.splitlines()
    assert done.code == 2 and "The default model cannot be built" in line and text in line


ACTS = ["chdir", "dtype", "device", "threads", "seed", "environment", "patch"]


@pytest.mark.watched
@pytest.mark.sampled(4)
@pytest.mark.parametrize("act", ACTS)
def test_the_process_is_left_as_it_was(act, here, monkeypatch):
    def state():
        return (Path.cwd(), torch.get_default_dtype(), torch.get_default_device(),
                torch.get_num_threads(), numpy.random.get_state()[1][0],
                os.environ.get("FAULTS"), functional.relu)  # fmt: skip

    numpy.random.seed(77)
    before = state()
    assert_starts(attempt(f"{FAULTS}Acting +space.run={act}", monkeypatch))
    assert state() == before
    if act not in ("environment", "patch"):  # walks put back less than the rehearsal
        assert_starts(attempt(f"{FAULTS}Acting +space.made={act}", monkeypatch))
        assert state() == before


def test_a_failed_allocation_is_said_in_gigabytes():
    text = (
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate {} bytes."
    )
    said = str(rehearsal._explained(RuntimeError(text.format(512 * 10**9))))
    assert "do not fit in memory: it needs 512.0 GB at once. Its size comes from data.shape" in said
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried")):
        assert "do not fit in memory. Its size" in str(rehearsal._explained(error))
    assert "memory" not in str(rehearsal._explained(RuntimeError("another one")))


def test_sizes_reach_a_base_class_to_which_all_is_passed_on(here, monkeypatch):
    assert_starts(attempt("trust=[examples] space._target_=examples.Forwarding", monkeypatch))
    line = "trust=[examples] space._target_=examples.Forwarding space.inputs=7"
    assert_refused(attempt(line, monkeypatch), "space.inputs is 7, but data.shape is", here)


FUNCTION = "trust=[toy] evaluator=function evaluator.fn._target_=toy.no_training"


def test_an_objective_that_a_rehearsal_shows_not_to_be_reported_is_refused(here, monkeypatch):
    monkeypatch.setattr(Function, "rehearse", lambda *_: ["val/acc", "loss"])
    text = "error: objective.metric is 'val/accuracy', which Function does not report; it reports"
    done = attempt(f"{FUNCTION} space=mlp", monkeypatch)
    assert_refused(done, "val/acc, loss, params", here)
    assert done.err.startswith(text)
    assert_starts(attempt(f"{FUNCTION} space=mlp objective.metric=val/acc", monkeypatch))


@pytest.mark.parametrize("sizes", ["space.classes=12", "space.shape=[1,9,9]"])
def test_sizes_that_differ_are_told_where_nobody_knows_what_fits(sizes, here, monkeypatch):
    done = attempt(f"{FUNCTION} space=mlp {sizes}", monkeypatch)
    assert_starts(done)
    key, _, value = sizes.partition("=")
    text = " ".join(done.out.split())
    assert f"{key} is {value.replace(',', ', ')}, but data." in text
