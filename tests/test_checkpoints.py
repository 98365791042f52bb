"""Checkpoints: read by the trials that may go on from them, and deleted once none can."""

import pytest
import torch

from runner.checkpoints import CheckpointKeeper, Checkpoints, TrainingState
from runner.fidelity import Fidelity
from runner.trial import CHECKPOINT, State, Trial, trial_folder
from runner.weights import save_weights

FIDELITY = Fidelity("evaluator.epochs", 1, 4, 2)
SAMPLE = {"a": 1, "evaluator.epochs": 1}
STATE = TrainingState(1, {"w": torch.arange(3.0)}, {"scaler": {}, "settings": [{"lr": 0.1}]})


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path, FIDELITY)


def test_a_checkpoint_is_read_as_it_was_written(checkpoints):
    checkpoints.save(0, 7, SAMPLE, STATE)
    found = checkpoints.load(0, 7, SAMPLE | {"evaluator.epochs": 2})
    assert found is not None and (found.epoch, found.facts) == (1, STATE.facts)
    assert torch.equal(found.tensors["w"], STATE.tensors["w"])


def test_a_checkpoint_of_another_training_is_none(checkpoints):
    checkpoints.save(0, 7, SAMPLE, STATE)
    assert checkpoints.load(0, 8, SAMPLE) is None, "another seed"
    assert checkpoints.load(0, 7, SAMPLE | {"a": 2}) is None
    assert checkpoints.load(1, 7, SAMPLE) is None, "another trial"


@pytest.mark.parametrize("content", [b"", b"x", b"\x80\x04N.", None])
def test_what_is_no_checkpoint_is_none(content, checkpoints, tmp_path):
    checkpoints.save(0, 7, SAMPLE, STATE)
    path = trial_folder(tmp_path, 0) / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-4] if content is None else content)
    assert checkpoints.load(0, 7, SAMPLE) is None


def test_a_file_of_weights_alone_is_no_checkpoint(checkpoints, tmp_path):
    save_weights(torch.nn.Linear(1, 1), trial_folder(tmp_path, 0) / CHECKPOINT)
    assert checkpoints.load(0, 7, SAMPLE) is None


def finished(number, epochs=1, parent=None, step=None):
    return Trial(number, {"evaluator.epochs": epochs}, 0, State.FINISHED, scores=(1.0,),
                 partial=epochs < 4, parent=parent, step=step or epochs)  # fmt: skip


def test_checkpoints_that_no_trial_needs_are_deleted(checkpoints, tmp_path):
    needed = {0, 1, 2}
    keeper = CheckpointKeeper(checkpoints, lambda: needed, print, goes_on=True)
    for number in range(3):
        checkpoints.save(number, 0, SAMPLE, STATE)
        keeper.see(finished(number))
    needed -= {1, 2}
    (trial_folder(tmp_path, 2) / "output.txt").touch()
    keeper.see(finished(3, 2, parent=1, step=1))
    there = [(trial_folder(tmp_path, n) / CHECKPOINT).exists() for n in range(3)]
    assert there == [True, False, False]
    assert [trial_folder(tmp_path, n).exists() for n in range(3)] == [True, False, True]


def test_a_trial_that_had_to_start_anew_is_told_once(checkpoints):
    said = []
    keeper = CheckpointKeeper(checkpoints, set, said.append, goes_on=True)
    keeper.see(finished(0))
    keeper.see(finished(1, 2, parent=0, step=1))
    assert not said
    keeper.see(finished(2, 2, parent=0, step=2))
    keeper.see(finished(3, 2, parent=0, step=2))
    [line] = said
    assert line.startswith(
        "Trial 2 was trained from the beginning, since the checkpoint of trial 0"
    )


def test_where_no_trial_goes_on_nothing_is_told(checkpoints):
    said = []
    keeper = CheckpointKeeper(checkpoints, set, said.append, goes_on=False)
    keeper.see(finished(2, 2, parent=0, step=2))
    assert not said
