"""Compares the outputs of a model on an example with those of the model it derives from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from runner.errors import one_line
from runner.graph.validation.equivalence import SEED, restored, seeded
from runner.nn.recording.tensor_history import tensors_in

EXAMPLES = 2
TOLERANCE = 1e-5  # relative to the largest output if that is above 1


class NotCompared(Exception):
    """The outputs of two models cannot be compared; the message is the reason."""


@final
@dataclass(frozen=True)
class Verdict:
    """The result of a comparison: the largest difference of the outputs, or why it is unknown."""

    off: float | None
    largest: float = 0.0  # of the expected outputs
    why: str = ""  # why nothing was compared

    @property
    def equal(self) -> bool:
        """Whether outputs were compared, and are equal up to rounding."""
        return self.off is not None and self.off <= TOLERANCE * max(1.0, self.largest)


def outputs(model: nn.Module, shape: Sequence[int] | None) -> list[Tensor]:
    """Returns all output tensors of a model in eval mode for a random example of a shape. The model
    and the global random state are preserved. Raises NotCompared, with the reason."""
    if shape is None:
        raise NotCompared("the shape of an example is unknown; set space.input")
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise NotCompared("it has lazy layers, which take their sizes from real data")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(SEED)
    example = torch.randn(EXAMPLES, *shape, generator=generator).to(device)
    with restored(model), seeded(), torch.no_grad():
        try:
            model.eval()
            return [tensor.detach().clone() for tensor in tensors_in(model(example))]
        except Exception as error:
            raise NotCompared(
                f"on an example of shape {[*shape]} it raises {one_line(error)}"
            ) from error


def compared(found: Sequence[Tensor], expected: Sequence[Tensor]) -> Verdict:
    """Compares the outputs of one model with the expected ones of another."""
    if not expected:
        return Verdict(None, why="it does not return tensors")
    if [t.shape for t in found] != [t.shape for t in expected]:
        shapes = [[*map(list, (t.shape for t in some))] for some in (found, expected)]
        return Verdict(None, why=f"it returns tensors of shapes {shapes[0]}, not {shapes[1]}")
    wide = [t.detach().to(torch.complex128 if t.is_complex() else torch.float64) for t in expected]
    if not all(torch.isfinite(t).all() for t in wide):
        return Verdict(None, why="the expected outputs are not finite")
    off = [(t.detach().to(w) - w).abs() for t, w in zip(found, wide, strict=True)]
    return Verdict(_largest(off), _largest([t.abs() for t in wide]))


def _largest(tensors: Sequence[Tensor]) -> float:
    """Returns the largest of all values; infinity if one is NaN."""
    values = [float(t.nan_to_num(nan=torch.inf).max()) for t in tensors if t.numel()]
    return max(values, default=0.0)
