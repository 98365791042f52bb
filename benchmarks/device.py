"""What a borrowed GPU is asked: is all right there, and how fast is it. At most 8 minutes.

    benchmarks/device.sh [--json FILE] [--quick] [--device cuda:0] [--only PARTS] [--limit SECONDS]

Each part runs in a process of its own, with a share of the time that is left; one that would take
longer is cut, and the table says so. After each part the figures are written to the file and the
table beside it (.txt). What cannot be done here (no CUDA, a module that is not installed) is named.
The exit code is 1 if a check failed or a part broke, else 0.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, final

from device_table import table

LIMIT = 480.0  # seconds
RESERVE = 4.0  # of them, to write and to print
PARTS = {  # with their weights in the time that is left
    "machine": 30, "equality": 85, "precision": 40, "stopping": 40, "memory": 40, "workers": 70,
    "mlp": 65, "cnn": 75, "cells": 90,
}  # fmt: skip
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FOLDER = Path(__file__).resolve().parent
NEEDED = {  # modules that the parts need, and what pip calls them
    "numpy": "numpy", "safetensors": "safetensors", "annotated_types": "annotated-types",
    "pydantic": "pydantic", "hydra": "hydra-core", "omegaconf": "omegaconf",
    "filelock": "filelock", "yaml": "pyyaml", "sklearn": "scikit-learn", "rich": "rich",
}  # fmt: skip


class Stopped(Exception):
    """Somebody ended this process."""


@final
class Bench:
    """The parts, and what they have found so far."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._ends = time.monotonic() + given.limit - min(RESERVE, given.limit / 4)
        self._began = time.monotonic()
        self.found: dict[str, Any] = {
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "quick": given.quick,
            "limit": given.limit,
            "machine": {"device": given.device},
            "missing": [pip for name, pip in NEEDED.items() if find_spec(name) is None],
            "parts": {part: {"state": "waiting"} for part in given.only},
        }

    @property
    def failed(self) -> bool:
        parts = self.found["parts"].values()
        return any(p["state"] == "failed" or not all(c["met"] for c in p.get("checks", ()))
                   for p in parts)  # fmt: skip

    def run(self) -> None:
        """Run all parts, and write what was found after each."""
        try:
            for part in self._given.only:
                self._run(part)
                self.write()
        except Stopped as signaled:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            for one in self.found["parts"].values():
                if one["state"] in ("waiting", "running"):
                    one |= {"state": "cut", "why": str(signaled)}
        finally:
            self.write()

    def _run(self, part: str) -> None:
        rest = [name for name, one in self.found["parts"].items() if one["state"] == "waiting"]
        left = self._ends - time.monotonic()
        share = left * PARTS[part] / sum(PARTS[name] for name in rest)
        one = self.found["parts"][part]
        one |= {"state": "running", "share": round(share, 1)}
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="device-", ignore_cleanup_errors=True) as folder:
            try:
                said = self._process(part, share, Path(folder))
            finally:
                one["seconds"] = round(time.monotonic() - start, 1)
                file = Path(folder) / "rows"
                _sort(file.read_text() if file.exists() else "", one, self.found["machine"])
        if one["state"] == "running":
            is_late = said is None
            why = f"{share:.0f} s were not enough" if is_late else f"its process died: {said}"
            one |= {"state": "cut" if is_late else "failed", "why": why}
        if one["state"] != "failed":
            del one["output"]

    def _process(self, part: str, share: float, folder: Path) -> str | None:
        """Run a part; None if it was cut, else how its process ended."""
        command = [
            sys.executable, FOLDER / "device_part.py", part, "--device", self._given.device,
            "--seconds", f"{share:.1f}", "--rows", folder / "rows",
            *(["--quick"] if self._given.quick else []),
        ]  # fmt: skip
        # The home may be read-only. What is written for a while goes when the part ends.
        own = {"XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder),
               "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}  # fmt: skip
        with (folder / "output").open("w+b") as output:
            process = subprocess.Popen(
                command, env=os.environ | own, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(max(share, 0.1))
            except subprocess.TimeoutExpired:
                return None
            finally:
                _end(process)
                output.seek(0)
                text = output.read()[-4000:].decode(errors="replace").strip()
                self.found["parts"][part]["output"] = text
        return f"exit code {code}. {text.splitlines()[-1][:200] if text else ''}".strip()

    def write(self) -> None:
        """Write the figures and the table, each at once or not at all."""
        self.found["seconds"] = round(time.monotonic() - self._began, 1)
        self.found["passed"] = not self.failed
        file: Path | None = self._given.json
        if file is not None:
            _replace(file, json.dumps(self.found, indent=2) + "\n")
            _replace(file.with_suffix(".txt"), table(self.found) + "\n")


def _sort(text: str, one: dict[str, Any], machine: dict[str, Any]) -> None:
    """Sort the rows of a part into its lists; a last line that is not whole was being written."""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        [(kind, row)] = json.loads(line).items()
        if kind == "facts":
            machine |= row
        elif kind == "ended":
            one["state"] = "done"
        elif kind == "left out":
            one |= {"state": "skipped", "why": row}
        elif kind == "error":
            one |= {"state": "failed", "why": row}
        else:
            one.setdefault(kind, []).append(row)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a part with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # a process in the driver may not be killed
        process.wait(5)


def _replace(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.part")
    part.write_text(text)
    part.replace(file)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(f"stopped by {signal.Signals(number).name}")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="device.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and table there")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--device", default="cuda:0", help="cuda:0, another one, or cpu")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help="some of them")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="of all")
    found = parser.parse_args(given)
    found.only = found.only.split(",")
    if unknown := [part for part in found.only if part not in PARTS]:
        parser.error(f"--only names {', '.join(unknown)}; the parts are {', '.join(PARTS)}.")
    if found.device == "cuda":
        found.device = "cuda:0"
    kind, _, number = found.device.partition(":")
    if not (found.device == "cpu" or (kind == "cuda" and number.isdecimal())):
        parser.error(f"--device is {found.device!r}; it may be cpu, cuda, or like cuda:0.")
    if not 0 < found.limit <= 86400:
        parser.error(f"--limit is {found.limit:g}; it must be above 0 and at most 86400 seconds.")
    if found.json is not None and not found.json.absolute().parent.is_dir():
        parser.error(f"--json is {found.json}; there is no such folder.")
    return found


def main() -> int:
    bench = Bench(arguments())
    for number in SIGNALS:
        signal.signal(number, _stop)
    bench.run()
    print(table(bench.found))
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
