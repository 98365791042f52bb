"""The contract of formats: a file of a trained model, which is read back before it counts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from runner.errors import RunnerError, one_line
from runner.graph.interpreter.threads import single_threaded

OpenShapes = tuple[dict[int, torch.export.Dim], ...] | None
NEAR = 1e-4  # largest difference of outputs, relative to the largest of them, in another program


class ExchangeFormat(ABC):
    """A format that holds code and weights in one file.

    `file` is the name of the file, and `exact` whether the model that is read back from it has
    equal outputs, bit by bit; else they differ by rounding.
    """

    file: ClassVar[str]
    exact: ClassVar[bool] = True

    def check(self) -> None:  # noqa: B027
        """Raises ConfigError if a library is missing that it needs."""

    @final
    def write(self, model: nn.Module, example: Tensor, path: Path) -> str:
        """Writes a model in eval mode to a file, reads it back, and compares the outputs on an
        example, (N, ...) with N of at least 2. Returns what a user should know of the file.

        The number of examples of a batch stays open if the model allows it. Raises RunnerError if
        the model cannot be written, or is another one when it is read back.
        """
        batches = "any batch size"
        try:
            self._write(model, example, path, ({0: torch.export.Dim("batch", min=1)},))
        except Exception as first:  # of torch's exporters, which may raise anything
            batches = f"batches of {len(example)}, since {one_line(first)}"
            try:
                self._write(model, example, path, None)
            except Exception as error:
                raise RunnerError(
                    f"The model cannot be written as {self.file}: {one_line(error)}"
                ) from error
        checked = self._compare(model, example, path)
        return f"{checked}, for {batches}"

    def _compare(self, model: nn.Module, example: Tensor, path: Path) -> str:
        found = self._read(path)
        if found is None:
            return "not checked, since nothing is installed that reads it"
        with single_threaded(), torch.no_grad():
            theirs, ours = found(example), model(example.clone())
        if not isinstance(ours, Tensor):
            raise RunnerError(
                f"The model returns {type(ours).__name__}; {self.file} needs a tensor."
            )
        if self.exact and torch.equal(theirs, ours):
            return "read back, with equal outputs"
        off = float((theirs - ours).abs().max() / ours.abs().max().clamp(min=1e-6))
        if self.exact or not off <= NEAR:
            raise RunnerError(
                f"The model in {self.file} is another one: its outputs differ by {off:.2g}, "
                "relative to the largest."
            )
        return f"read back, with outputs that differ by {off:.1g} at most"

    @abstractmethod
    def _write(self, model: nn.Module, example: Tensor, path: Path, shapes: OpenShapes) -> None:
        """Writes a model; `shapes` are its open dimensions, as `torch.export` takes them."""

    @abstractmethod
    def _read(self, path: Path) -> Callable[[Tensor], Tensor] | None:
        """Returns the function in a file; None if nothing is installed that reads it."""


@contextmanager
def silent() -> Iterator[None]:
    """Keeps warnings of torch's exporters, which are about torch's own code, from the user."""
    import logging
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), single_threaded():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
