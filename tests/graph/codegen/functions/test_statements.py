"""How in-place operators and truth values are written as statements."""

import torch
from programs.source import written
from torch import Tensor, nn


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor, xs: list[Tensor]):
        y = x.clone()
        y += 1
        y.sub_(x)
        y *= x
        y.div_(2)
        y.add_(x, alpha=3)
        y[0] *= 2
        self.seen.add_(1)
        xs += [y]
        x += y
        return x, self.seen.clone(), xs


def test_in_place_operators_of_variables_are_augmented_assignments() -> None:
    assert written(InPlace(), torch.ones(2, 3), [torch.ones(1)]) == (
        "y = x.clone()\n"
        "y += 1\n"
        "y.sub_(x)\n"
        "y *= x\n"
        "y.div_(2)\n"
        "y.add_(x, alpha=3)\n"
        "y[0] *= 2\n"
        "self.seen.add_(1)\n"
        "xs += [y]\n"
        "x += y\n"
        "return x, self.seen.clone(), xs"
    )


class Truths(nn.Module):
    def forward(self, x: Tensor):
        found = bool(x.sum() > 5) and x.dim() == 2
        if x.max() > 0 and not bool(x.min() > 3):
            x = x + 1
        return x, found


def test_only_a_truth_that_is_kept_is_made_a_bool() -> None:
    assert written(Truths(), torch.ones(2, 3)) == (
        "found = bool(x.sum() > 5) and x.dim() == 2\n"
        "if x.max() > 0 and not x.min() > 3:\n"
        "    x = x + 1\n"
        "return x, found"
    )
