"""Runs that several tests look at, and the output of a task."""

import io
from pathlib import Path

import pytest
import rich
from rich.console import Console
from searches import MLP

import runner


@pytest.fixture(scope="session")
def searched(tmp_path_factory) -> Path:
    """The folder of a small search, which no test changes."""
    folder = tmp_path_factory.mktemp("runs") / "searched"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rich, "_console", Console(file=io.StringIO()))
        runner.run([*MLP, "budget.trials=4", "export.top=1"], folder)
    return folder


@pytest.fixture
def output(monkeypatch) -> io.StringIO:
    """What is shown, as piped output shows it."""
    file = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=file, width=80, legacy_windows=False))
    return file
