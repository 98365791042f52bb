"""Runs one part of `device.py`, alone in a process: an error of CUDA spoils all that follows.

    python benchmarks/device_part.py PART --device cuda:0 --seconds 60 --rows FILE [--quick]

Each row is written to the file as it is found, one line of JSON, so that a part that is killed has
left what it had.
"""

import argparse
import ctypes
import importlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from device_task import NO_CUDA, Row, SkipPart, Task, noted

OWN = ("runner", "spaces", "device", "cgo", "figures")  # modules whose lack is a bug
MODULES = dict.fromkeys(("mlp", "cnn", "cells"), "timings")  # of parts that share one
EARLY = 0.15  # of its time: so much before it would be cut, a part begins nothing new,
MOST = 10.0  # or so many seconds


def facts(device: str) -> Row:
    """The machine."""
    import torch

    found = {
        "device": device,
        "host cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "CUDA": torch.version.cuda or "none",
    }
    if device.startswith("cuda"):
        cudnn: Any = torch.backends.cudnn
        made = torch.cuda.get_device_properties(device)
        found |= {
            "GPU": made.name,
            "memory": f"{made.total_memory / 2**30:.1f} GiB",
            "capability": f"{made.major}.{made.minor}",
            "cuDNN": f"{cudnn.version()}",
            "driver": driver(),
        }
    return {"facts": found}


def driver() -> str:
    """The version of the driver; by its library, or else by its tool."""
    with suppress(OSError, AttributeError):
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        text = ctypes.create_string_buffer(80)
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, 80) == 0:
            return text.value.decode()
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return said.stdout.split("\n")[0].strip()
    return "unknown"


def rows(task: Task) -> Iterator[Row]:
    """What a part finds. A module that is not installed is none of its failures."""
    start = time.perf_counter()
    import torch

    imported = time.perf_counter()
    if task.is_cuda and not torch.cuda.is_available():
        raise SkipPart(NO_CUDA)
    torch.set_num_threads(1)
    if task.is_cuda:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.set_device(task.device)
        torch.zeros(1, device=task.device)
    yield facts(task.device)
    if task.part == "machine":
        seconds = imported - start, time.perf_counter() - imported
        yield noted(
            "torch was imported in {:.1f} s, its device ready in {:.1f} s.".format(*seconds)
        )
    try:
        module = importlib.import_module(f"device_{MODULES.get(task.part, task.part)}")
    except ModuleNotFoundError as error:
        name = str(error.name)
        if name.partition(".")[0].partition("_")[0] in OWN:
            raise
        raise SkipPart(f"no module named {name!r}") from error
    yield from module.run(task)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part")
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    ends = time.monotonic() + given.seconds - min(MOST, EARLY * given.seconds)
    task = Task(given.part, given.device, given.quick, ends)
    with given.rows.open("a") as file:

        def put(row: Row) -> None:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()

        try:
            for row in rows(task):
                put(row)
            put({"ended": ""})
        except SkipPart as skip:
            put({"left out": str(skip)})
        except Exception as error:
            traceback.print_exc()
            text = " ".join(str(error).split())
            put({"error": f"{type(error).__name__}: {text[:300]}"})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # without waiting for a device that may hang


if __name__ == "__main__":
    main()
