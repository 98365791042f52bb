"""The device of a worker: made the current one, and left clean between trials."""

import gc
from typing import Any

import torch

cuda: Any = torch.cuda


def start(device: torch.device) -> None:
    """Starts CUDA if the device is a GPU. That opens files and sets variables of the environment,
    which no trial is to be blamed for."""
    if device.type == "cuda":
        cuda.init()


def select(device: torch.device) -> None:
    """Starts a GPU, and makes it the current one. Libraries allocate there what nobody told them to
    put elsewhere, such as pinned memory, whose context otherwise is on the first GPU for all."""
    start(device)
    if device.type == "cuda":
        cuda.set_device(device)


def clean(device: torch.device) -> None:
    """Frees what a trial has left. Raises the error of a GPU that is of no more use to this
    process, such as after a failed assertion in a kernel: CUDA tells it to every later call."""
    if device.type != "cuda":
        gc.collect(1)
        return
    gc.collect()  # also cycles that grew old during the trial, which may hold memory of the GPU
    if cuda.is_initialized():
        cuda.synchronize(device)
        cuda.empty_cache()
