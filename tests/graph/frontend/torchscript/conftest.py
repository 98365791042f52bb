"""What TorchScript reads, and what it cannot: no other front end reads that here."""

import pytest

from runner.graph.frontend import frontends


@pytest.fixture(autouse=True)
def torchscript_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontends, "ORDER", ("torchscript",))
