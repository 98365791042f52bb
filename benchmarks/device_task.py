"""What a part of `device.py` is given, and the rows that it yields."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from figures import Target, as_figures

Row = Mapping[str, Any]  # of one key that says what it is: checks, timings, skipped, notes, facts
NO_CUDA = "no CUDA"
NO_TIME = "no time left"


@final
@dataclass(frozen=True)
class Task:
    """What a part is to do, and until when."""

    part: str  # its name
    device: str  # as torch names it
    quick: bool
    ends: float  # by `time.monotonic`; what has not begun by then is left out

    @property
    def is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()


class SkipPart(Exception):
    """A part that has nothing to do here; the message says why."""


def checked(name: str, figure: float, limit: float, unit: str = "") -> Row:
    """A figure that may be at most its limit."""
    [row] = as_figures([Target(name, float(figure), limit, unit)])
    # A NaN is no JSON; it is beyond all limits, as infinity is.
    figure = row["figure"] if abs(row["figure"]) < float("inf") else 1e300
    return {"checks": {**row, "figure": figure}}


def claimed(name: str, holds: bool, why: str = "") -> Row:
    """Something that is to hold."""
    return {"checks": {"name": name, "met": holds, "why": "" if holds else why}}


def skipped(name: str, why: str) -> Row:
    return {"skipped": {"name": name, "why": why}}


def noted(text: str) -> Row:
    return {"notes": text}
