"""What a worker does with a GPU, told to a stand-in: there need be none."""

import weakref

import pytest
import torch

from runner import worker_device
from runner.worker_device import clean, select, start

GPU = torch.device("cuda:1")


class StandIn:
    """Notes the calls; `error` is what a GPU says to all."""

    def __init__(self, *, is_initialized=True, error=None):
        self.calls = []
        self.is_initialized = lambda: is_initialized
        self.error = error

    def init(self):
        self.calls.append(("init",))

    def set_device(self, device):
        self.calls.append(("set_device", device))

    def synchronize(self, device):
        if self.error is not None:
            raise self.error
        self.calls.append(("synchronize", device))

    def empty_cache(self):
        self.calls.append(("empty_cache",))


@pytest.fixture
def gpu(monkeypatch):
    def make(**given):
        made = StandIn(**given)
        monkeypatch.setattr(worker_device, "cuda", made)
        return made

    return make


def test_the_gpu_of_a_worker_is_the_current_one(gpu):
    made = gpu()
    select(torch.device("cpu"))
    assert made.calls == []
    select(GPU)
    assert made.calls == [("init",), ("set_device", GPU)]


def test_a_gpu_is_started_without_being_chosen(gpu):
    made = gpu()
    start(torch.device("cpu"))
    assert made.calls == []
    start(GPU)
    assert made.calls == [("init",)]


def test_memory_is_given_back_once_all_has_been_done(gpu):
    made = gpu()
    clean(torch.device("cpu"))
    assert made.calls == []
    clean(GPU)
    assert made.calls == [("synchronize", GPU), ("empty_cache",)]


def test_a_gpu_that_no_trial_used_is_not_started(gpu):
    made = gpu(is_initialized=False)
    clean(GPU)
    assert made.calls == []


def test_a_gpu_that_is_of_no_more_use_is_told(gpu):
    gpu(error=RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        clean(GPU)


class Cycle:
    def __init__(self):
        self.own = self


def test_an_old_cycle_holds_no_memory_of_a_gpu(gpu):
    """One that a collection during the trial has seen."""
    gpu()
    cycle = Cycle()
    found = weakref.ref(cycle)
    worker_device.gc.collect()  # now it is old
    del cycle
    clean(GPU)
    assert found() is None
