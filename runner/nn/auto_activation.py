"""AutoActivation: activation functions to be searched (Ramachandran et al. 2017,
https://arxiv.org/abs/1710.05941)."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from runner.errors import SpaceError, did_you_mean, shown
from runner.nn.layer import LayerChoice
from runner.nn.values.arguments import listed, titled, whole
from runner.nn.values.build import current

EPSILON = 1e-7  # keeps logarithms and quotients finite


class AutoActivation(nn.Module):
    """An activation of core units: each combines what is there with a unary function of the input.

    `b_n(... b_1(u_0(x), u_1(x)) ..., u_n(x))` for `unit_num` n. The choices are labelled
    `{label}/unary_0`, `{label}/unary_1`, ..., `{label}/binary_0`, ...; candidates are names of
    classes of this file, by default all. Raises SpaceError for other names.
    """

    def __init__(
        self,
        unit_num: int = 1,
        unary_candidates: Sequence[str] | None = None,
        binary_candidates: Sequence[str] | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__()
        what = titled("AutoActivation", label)
        unit_num = whole(unit_num, f"{what} has unit_num", 1)
        build = current()
        with build.below(build.label(label)):
            self.unaries = nn.ModuleList(
                _choice(unary_candidates, UNARY, f"unary_{i}") for i in range(unit_num + 1)
            )
            self.binaries = nn.ModuleList(
                _choice(binary_candidates, BINARY, f"binary_{i}") for i in range(unit_num)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of the shape of `x`."""
        out: Tensor = self.unaries[0](x)
        for i, binary in enumerate(self.binaries):
            out = binary(out, self.unaries[i + 1](x))
        return out


def _choice(names: Sequence[str] | None, known: Sequence[type[nn.Module]], label: str) -> nn.Module:
    """Returns a choice of functions."""
    kinds = {kind.__name__: kind for kind in known}
    given = [*kinds] if names is None else listed(names, "An AutoActivation has the candidates")
    for name in given:
        if not isinstance(name, str) or name not in kinds:
            near = did_you_mean(name, kinds) if isinstance(name, str) else ""
            raise SpaceError(f"An AutoActivation has the candidate {shown(name)}; there are "
                             f"{', '.join(kinds)}.{near}")  # fmt: skip
    return LayerChoice({name: kinds[name] for name in given}, label)


class Scaled(nn.Module):
    """A function with a trainable number, `beta`, which starts as 1."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))


@final
class UnaryIdentity(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


@final
class UnaryNegative(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return -x


@final
class UnaryAbs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


@final
class UnarySquare(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


@final
class UnaryPow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x * x


@final
class UnarySqrt(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sqrt()


@final
class UnaryMul(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        return self.beta * x


@final
class UnaryAdd(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.beta


@final
class UnaryLogAbs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.abs() + EPSILON).log()


@final
class UnaryExp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


@final
class UnarySin(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


@final
class UnaryCos(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cos()


@final
class UnarySinh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sinh()


@final
class UnaryCosh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cosh()


@final
class UnaryTanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.tanh()


@final
class UnaryAsinh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.asinh()


@final
class UnaryAtan(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.atan()


@final
class UnarySinc(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sinc(x)


@final
class UnaryMax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)


@final
class UnaryMin(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(max=0)


@final
class UnarySigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid()


@final
class UnaryLogExp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x)


@final
class UnaryExpSquare(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (-x * x).exp()


@final
class UnaryErf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.erf()


@final
class BinaryAdd(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


@final
class BinaryMul(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x * y


@final
class BinaryMinus(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x - y


@final
class BinaryDivide(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x / (y + EPSILON)


@final
class BinaryMax(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.maximum(x, y)


@final
class BinaryMin(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.minimum(x, y)


@final
class BinarySigmoid(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.sigmoid() * y


@final
class BinaryExpSquare(Scaled):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (-self.beta * (x - y) * (x - y)).exp()


@final
class BinaryExpAbs(Scaled):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (-self.beta * (x - y).abs()).exp()


@final
class BinaryParamAdd(Scaled):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.beta * x + (1 - self.beta) * y


UNARY: Sequence[type[nn.Module]] = (
    UnaryIdentity,     UnaryNegative,     UnaryAbs,     UnarySquare,     UnaryPow,
    UnarySqrt,     UnaryMul,     UnaryAdd,     UnaryLogAbs,     UnaryExp,     UnarySin,
    UnaryCos,     UnarySinh,     UnaryCosh,     UnaryTanh,     UnaryAsinh,     UnaryAtan,
    UnarySinc,     UnaryMax,     UnaryMin,     UnarySigmoid,     UnaryLogExp,
    UnaryExpSquare,     UnaryErf,
)  # fmt: skip
BINARY: Sequence[type[nn.Module]] = (
    BinaryAdd,     BinaryMul,     BinaryMinus,     BinaryDivide,     BinaryMax,     BinaryMin,
    BinarySigmoid,     BinaryExpSquare,     BinaryExpAbs,     BinaryParamAdd,
)  # fmt: skip
