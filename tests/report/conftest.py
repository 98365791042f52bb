"""Where records of made-up searches lie."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from records import write


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Returns what writes a record of events into a new folder, by name."""

    def written(*events: tuple[Any, ...], name: str = "run") -> Path:
        return write(tmp_path / "outputs" / name, *events)

    return written
