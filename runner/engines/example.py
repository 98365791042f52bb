"""Example inputs for validating models before they are trained."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from runner.config.instantiate import build
from runner.data.data import Data
from runner.errors import one_line
from runner.graph.interpreter.shape_propagation import EXAMPLES

log = logging.getLogger(__name__)


@final
class Example:
    """The first examples of the data, if they have the given shape, or normal random numbers."""

    def __init__(
        self,
        shape: Sequence[int] | None,
        data: Mapping[str, Any] | None = None,
        trust: Sequence[str] = (),
    ) -> None:
        """Takes the `shape` of one example, without the batch; None if unknown. `data` is the
        config node of the training data."""
        self.shape = None if shape is None else tuple(shape)
        self._data = data
        self._trust = trust

    @cached_property
    def inputs(self) -> tuple[Tensor, ...] | None:
        """The arguments of a model, a small batch (N, ...); None if no shape is known."""
        if self.shape is None:
            return None
        found = self._of_data()
        if found is not None:
            return (found,)
        generator = torch.Generator().manual_seed(0)
        return (torch.randn(EXAMPLES, *self.shape, generator=generator),)

    def _of_data(self) -> Tensor | None:
        if self._data is None:
            return None
        try:
            data: Data = build(self._data, self._trust)
            if data.shape != self.shape:
                return None
            split = data.search().train
            inputs, _ = next(iter(split.batches(EXAMPLES, torch.device("cpu"))))
        except Exception as error:  # trials that need the data will report this
            log.info("Models are validated on random numbers, since the data cannot be loaded: %s",
                     one_line(error))  # fmt: skip
            return None
        return inputs.clone()
