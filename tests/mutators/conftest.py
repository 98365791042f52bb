"""The net that mutators are tried on."""

import pytest
import residual

from runner.graph import Graph


@pytest.fixture(scope="session")
def graph() -> Graph:
    return residual.converted()
