"""What a run ran on: versions and the machine, as a file beside its record."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ENVIRONMENT = "environment.json"
PACKAGES = ("torch", "torchvision", "optuna", "numpy", "nas-runner")
LARGEST = 100_000  # bytes of the file


def note_environment(folder: Path) -> None:
    """Writes down the environment of this process. Imports nothing. Raises OSError."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found |= {"system": platform.platform(), "cores": str(os.cpu_count())}
    (folder / ENVIRONMENT).write_text(json.dumps(found, indent=2) + "\n")


def noted_environment(folder: Path) -> Mapping[str, str]:
    """Returns what was written down; nothing if there is no such file, or something else in it."""
    path = folder / ENVIRONMENT
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST:
            return {}
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    is_ours = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if is_ours else {}
