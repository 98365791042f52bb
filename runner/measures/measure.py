"""The contract of measures: a figure of a model, known before it is trained."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from runner.constraints import MetricUnit


class Measure(ABC):
    """A figure of an untrained model. Its name is its key in the config, below `measure`.

    `unit` is that of its values: seconds, bytes, or a plain number. `exact` is whether a model
    without values, on the meta device, has the same figure, so that the driver can tell it. `runs`
    is whether it runs the model; it then gets one that is thrown away.
    """

    unit: ClassVar[MetricUnit] = ""
    exact: ClassVar[bool] = False
    runs: ClassVar[bool] = True

    @abstractmethod
    def measure(self, model: nn.Module, example: Tensor, device: torch.device) -> float:
        """Returns the figure of a model.

        `example` is a batch of one input, on the device of the model; `device` is that of the
        training, for measures that depend on it. The model may be changed.
        """

    def noise(self) -> float | None:
        """Returns the relative spread of the last figure, if it varies from run to run."""
        return None
