"""A program of `torch.export`, which torch and its compilers read without any source of it."""

from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from runner.formats.exchange_format import ExchangeFormat, OpenShapes, silent


@final
class Pt2(ExchangeFormat):
    file = "model.pt2"

    def _write(self, model: nn.Module, example: Tensor, path: Path, shapes: OpenShapes) -> None:
        with silent():
            torch.export.save(torch.export.export(model, (example,), dynamic_shapes=shapes), path)

    def _read(self, path: Path) -> Callable[[Tensor], Tensor]:
        with silent():
            found: Callable[[Tensor], Tensor] = torch.export.load(path).module()
        return found
