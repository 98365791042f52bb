"""What models seldom do, and TorchScript reads all the same."""

from enum import Enum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from programs.case import floats, ints, plain, program


class Mode(Enum):
    """Two ways."""

    FAST = 1
    SLOW = 2


@program(floats(2, 3))
class Enums(nn.Module):
    def __init__(self):
        super().__init__()
        self.mode = Mode.SLOW

    def forward(self, x):
        if self.mode == Mode.FAST:
            return x, self.mode.value
        return x * 2, Mode.SLOW.value + self.mode.value


@program(floats(2), floats(3))
class ManyTensors(nn.Module):
    """Functions of any number of tensors."""

    def forward(self, x, y):
        products = torch.cartesian_prod(x, y), torch.combinations(y, 2)
        return products, torch.block_diag(x, y), torch.broadcast_tensors(x[:, None], y)


@program(floats(2, 3), floats(3, 4), floats(4, 2))
class ChainOfProducts(nn.Module):
    def forward(self, x, y, z):
        return torch.linalg.multi_dot([x, y, z]), torch.atleast_1d(x[0, 0]), torch.atleast_3d(z)


@program(plain(1), "a,b,c")
class StringArguments(nn.Module):
    def forward(self, x, s: str):
        cut = (
            s.split(",", 1),
            s.rsplit(",", 1),
            s.splitlines(),
            s.find("b", 1),
            s.replace(",", "", 1),
        )
        sides = s.rjust(8, "."), s.center(9), s.zfill(7), s.ljust(6), s.lstrip("a"), s.rstrip()
        return x, cut, sides, s.index("c"), s.isalpha(), s[::2]


@program(plain(1))
class ListArguments(nn.Module):
    def forward(self, x):
        n = [3, 1, 2]
        n.sort()
        m = sorted([2.5, 0.5])
        m.sort(reverse=True)
        del n[0]
        k = [0] * 3 + n
        k[-1] += 5
        return x, n, m, k, list((1, 2)), list("abc"), list(range(1, 7, 2)), n.pop(0)  # noqa: C410


@program({"a": floats(2)})
class DictArguments(nn.Module):
    def forward(self, x: dict[str, Tensor]):
        first = x.get("a", torch.zeros(2))
        second = x.setdefault("b", torch.ones(2))
        third = x.pop("q", first * 2)
        return first, second, third, list(x.values()), "a" in x


@program(floats(2, 3))
class Annotates(nn.Module):
    def forward(self, x):
        xs = torch.jit.annotate(list[Tensor], [])
        xs.append(x)
        numbers: dict[str, list[int]] = {}
        numbers["a"] = [1]
        numbers["a"].append(2)
        return xs, numbers


@program([floats(2), floats(2)])
class IsInstance(nn.Module):
    def forward(self, x: Any):
        if torch.jit.isinstance(x, list[Tensor]):
            return x[0] * 2
        return torch.zeros(1)


@program(floats(2, 3))
class Contexts(nn.Module):
    def forward(self, x):
        with torch.autograd.profiler.record_function("double"):
            y = x * 2
        with torch.no_grad():
            z = y * 3
            with torch.autograd.profiler.record_function("inner"):
                w = z + 1
        return y, z, w


@program(floats(2, 3))
class ForksAndWaits(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        future = torch.jit.fork(self.linear, x)
        y = x * 2
        return torch.jit.wait(future) + y


@program(floats(2, 3))
class Counter(nn.Module):
    """Writes an attribute, then reads it through a method."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def step(self) -> int:
        self.n += 2
        return self.n

    def forward(self, x):
        before = self.n
        self.n = 5
        first = self.step()
        return x * first, self.n - before - self.n, self.step() - first


@program(floats(3, 4))
class AliasesInLoop(nn.Module):
    """Views of one tensor, written in turn."""

    def forward(self, x):
        y = x.clone()
        row = y[0]
        for i in range(3):
            if i == 1:
                row += 1
            row = y[i]
            row *= 2
            z = y
            z[i, 0] = float(i)
        before = y.sum()
        y.zero_()
        return before, row, y


@program(floats(3, 4))
class ReadsBeforeWriting(nn.Module):
    """The order of reading and writing must be kept."""

    def forward(self, x):
        y = x.clone()
        a = y + 1
        b = y.view(-1)
        y.add_(10)
        c = y + 1
        xs = [y, a]
        n = len(xs)
        xs.append(c)
        first = xs[0]
        xs[0] = b
        return a, b, c, n, len(xs), first, xs


@program(floats(2, 3), 1.5)
@program(floats(2, 3), 3)
class NumberInput(nn.Module):
    def forward(self, x, n: float):
        return x * n + int(n), n // 1


@program(floats(2, 3), ints(3, 2))
class ZeroDimensional(nn.Module):
    """Tensors of one number where Python wants a number."""

    def forward(self, x, n):
        k = n[0]
        for _ in range(int(k)):
            x = x + 1
        if k > 1:
            x = x * k
        return x.narrow(1, int(n[1]), 1), torch.full((2,), k), x[k % 2], [1, 2, 3][int(k)]


@program(floats(4, 3))
class Kwargs(nn.Module):
    """Everything by name."""

    def forward(self, x):
        a = torch.sum(input=x, dim=1, keepdim=True)
        b = F.softmax(input=x, dim=1, dtype=torch.float32)
        c = torch.add(input=x, other=x, alpha=2)
        d = F.layer_norm(input=x, normalized_shape=(3,), eps=1e-3)
        return a, b, torch.transpose(input=c, dim0=0, dim1=1), d, x.sum(dim=[0], keepdim=True)


@program(floats(2, 3))
class NamesOfPython(nn.Module):
    """Variables called like what a generated file may use."""

    def __init__(self):
        super().__init__()
        self.model = nn.Linear(3, 3)
        self.nn = nn.ReLU()
        self.F = 2

    def forward(self, torch_, build: int = 2, math: float = 0.5):
        nn_ = self.nn(self.model(torch_))
        list_ = [nn_, torch_]
        len_ = len(list_) * build
        range_ = nn_ * self.F * math
        return range_.softmax(-1), len_, F.relu(nn_)


@program(floats(2, 3))
class NamesThatShadow(nn.Module):
    def forward(self, input):
        max = input.max()
        type = input * 2
        id = type - max
        CONSTANTS = id + 1
        return max, type, id, CONSTANTS


@program(floats(2, 3))
class ConstantTensors(nn.Module):
    """Tensors as plain attributes, in no state_dict."""

    def __init__(self):
        super().__init__()
        self.mean = torch.tensor([0.1, 0.2, 0.3])
        self.several = [torch.ones(3), torch.arange(3.0)]

    def forward(self, x):
        return (x - self.mean) * self.several[1] + self.several[0]


@program(floats(4, 6))
class EmptyParts(nn.Module):
    def forward(self, x):
        none = x[:0]
        parts: list[Tensor] = []
        for part in x.split(4, dim=1):
            parts.append(part)  # noqa: PERF402
        return none, torch.cat([none, x]), parts, [], (), {}


@program(floats(2, 3), big=True)
class KeywordOnlyNames(nn.Module):
    def forward(self, x, *, big: bool):
        return x * 2 if big else x


@program(floats(2, 3))
class WarnsNever(nn.Module):
    def forward(self, x):
        if x.dim() == 7:
            print("seven dimensions", x.dim())
        return x + 1


@program(floats(2, 3))
class FunctionAttribute(nn.Module):
    """A function as an attribute, under another name."""

    def __init__(self):
        super().__init__()
        self.act = torch.nn.functional.silu
        self.linear = nn.Linear(3, 3)
        self.register_buffer("scale", torch.rand(3))

    def forward(self, x):
        return self.act(self.linear(x)) * self.scale


@program(plain(3, 3))
class WritesThroughMasks(nn.Module):
    def forward(self, x):
        y = x.clone()
        y[y < 0] *= -1
        y[1, 1:] = y[0, :2] + 1
        y[:, -1] /= 2
        y.t()[0] += 1
        return y, x
