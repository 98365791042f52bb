"""ONNX, by torch's exporter, checked by ONNX Runtime where that is installed."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from runner.errors import ConfigError
from runner.formats.exchange_format import ExchangeFormat, OpenShapes, silent

NEEDED = ("onnx", "onnxscript")  # by the exporter


@final
class Onnx(ExchangeFormat):
    file = "model.onnx"
    exact = False

    def check(self) -> None:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"format=onnx needs {' and '.join(missing)}; install the extra: "
                'pip install "nas-runner[onnx]".'
            )

    def _write(self, model: nn.Module, example: Tensor, path: Path, shapes: OpenShapes) -> None:
        with silent():
            program = torch.onnx.export(
                model, (example,), dynamo=True, dynamic_shapes=shapes, verbose=False,
                input_names=["input"], output_names=["output"],
            )  # fmt: skip
            assert program is not None
            program.save(path, external_data=False)

    def _read(self, path: Path) -> Callable[[Tensor], Tensor] | None:
        try:
            import onnxruntime
        except ImportError:
            return None
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        [given] = session.get_inputs()

        def run(x: Tensor) -> Tensor:
            [found] = session.run(None, {given.name: x.numpy()})
            return torch.from_numpy(found)

        return run
