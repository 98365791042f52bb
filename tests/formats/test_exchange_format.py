"""A file of a model counts once it was read back, with the outputs of the model."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from runner.errors import RunnerError
from runner.formats.exchange_format import ExchangeFormat
from runner.formats.pt2 import Pt2

EXAMPLE = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


class Forgetful(ExchangeFormat):
    """Reads back another model than was written."""

    file = "model.x"

    def __init__(self, off: float, exact: bool = True) -> None:
        self._off, self.exact = off, exact

    def _write(self, model, example, path, shapes) -> None:
        self._model = model

    def _read(self, path):
        return lambda x: self._model(x) * (1 + self._off)


class Unread(Forgetful):
    def _read(self, path) -> None:
        return None


class Fixed(nn.Module):
    """Takes batches of two only."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Dynamic(nn.Module):
    """Decides by values, which no exporter can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_what_differs_is_refused(tmp_path):
    model = nn.Linear(4, 3).eval()
    with pytest.raises(RunnerError, match="another one: its outputs differ by"):
        Forgetful(1e-3).write(model, EXAMPLE, tmp_path / "x")
    with pytest.raises(RunnerError, match="another one: its outputs differ by"):
        Forgetful(1e-3, exact=False).write(model, EXAMPLE, tmp_path / "x")
    with pytest.raises(RunnerError, match="another one"):
        Forgetful(float("nan"), exact=False).write(model, EXAMPLE, tmp_path / "x")
    assert "differ by" in Forgetful(1e-6, exact=False).write(model, EXAMPLE, tmp_path / "x")
    assert Forgetful(0.0).write(model, EXAMPLE, tmp_path / "x") == (
        "read back, with equal outputs, for any batch size"
    )
    assert Unread(0.0).write(model, EXAMPLE, tmp_path / "x").startswith("not checked, since")


def test_a_model_of_one_batch_size_is_written_for_that(tmp_path: Path) -> None:
    said = Pt2().write(Fixed().eval(), EXAMPLE, tmp_path / "model.pt2")
    assert said.startswith("read back, with equal outputs, for batches of 2, since ")
    assert torch.equal(torch.export.load(tmp_path / "model.pt2").module()(EXAMPLE), EXAMPLE)


@pytest.mark.parametrize("model", [Dynamic(), Pair()])
def test_what_cannot_be_written_is_one_line(model, tmp_path):
    with pytest.raises(
        RunnerError, match=r"cannot be written as model\.pt2|needs a tensor"
    ) as error:
        Pt2().write(model.eval(), EXAMPLE, tmp_path / "model.pt2")
    assert "\n" not in str(error.value)


def test_the_user_hears_no_warnings_of_the_exporter_and_keeps_the_threads(tmp_path):
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pt2().write(nn.Linear(4, 3).eval(), EXAMPLE, tmp_path / "model.pt2")
    assert torch.get_num_threads() == threads
