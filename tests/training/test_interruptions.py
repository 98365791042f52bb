"""Interruptions: no attempt of a trial, unless it gets nowhere."""

import pytest

from runner.training.interruptions import REQUEUES, Interruptions
from runner.training.pilot import PREEMPTED, TIME
from runner.trial import CHECKPOINT, STATE, trial_folder


@pytest.fixture
def interruptions(tmp_path):
    return Interruptions(tmp_path, 60)


@pytest.mark.parametrize("name", [CHECKPOINT, STATE])
def test_a_trial_that_gets_on_may_run_out_of_time_any_number_of_times(
    name, interruptions, tmp_path
):
    file = trial_folder(tmp_path, 3) / name
    file.parent.mkdir(parents=True)
    for size in range(1, 20):
        file.write_bytes(b"x" * size)
        assert interruptions.failure(3, TIME) is None
    failure = interruptions.failure(3, TIME)
    assert failure.reason == "timed out" and "training.time" in failure.text


def test_a_trial_without_a_checkpoint_may_run_out_of_time_once(interruptions):
    """It may have begun late in its job, and has all of the next one."""
    assert interruptions.failure(3, TIME) is None
    assert interruptions.failure(4, TIME) is None
    assert interruptions.failure(3, TIME).reason == "timed out"


def test_preemption_is_never_the_fault_of_a_trial(interruptions):
    assert not any(interruptions.failure(3, PREEMPTED) for _ in range(5 * REQUEUES))


def test_a_trial_that_loses_its_job_without_a_word_does_so_only_so_often(interruptions):
    why = "its job was requeued"
    assert not any(interruptions.failure(3, why) for _ in range(REQUEUES))
    assert interruptions.failure(4, why) is None, "each trial counts for itself"
    failure = interruptions.failure(3, why)
    assert failure.reason == "crashed" and why in failure.text
