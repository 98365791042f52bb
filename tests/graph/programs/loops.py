"""Loops: for and while, over ranges, lists and layers, with break, continue and return."""

import torch
from torch import Tensor, nn

from programs.case import floats, plain, program


@program(floats(2, 1))
class OverSize(nn.Module):
    def forward(self, x):
        for _ in range(x.size(0)):
            x = x + torch.ones(2, 5)
        return x


@program(floats(2, 3), 0)
@program(floats(2, 3), 4)
class OverRange(nn.Module):
    def forward(self, x, n: int):
        total = torch.zeros(2, 3)
        for i in range(1, n, 2):
            total = total + x * i
        for i in range(n, 0, -1):
            total = total - i
        return total


@program(floats(2, 3))
class LastOfLoop(nn.Module):
    def forward(self, x):
        y, count = x, 0
        for i in range(3):
            y, x = x, y * 2
            count += i
        return x, y, count


@program(floats(2, 3), 2)
@program(floats(2, 3), 20)
class Break(nn.Module):
    def forward(self, x, n: int):
        for i in range(10):
            if i == n:
                break
            x = x + i
        return x


@program(floats(2, 3))
class Continue(nn.Module):
    def forward(self, x):
        for i in range(6):
            if i % 2 == 0:
                continue
            x = x * i
        return x


@program(floats(2, 3), 2)
@program(floats(2, 3), 20)
class ReturnInLoop(nn.Module):
    def forward(self, x, n: int):
        for i in range(10):
            if i == n:
                return x * i
            x = x + i
        return -x


@program(floats(2, 3))
class While(nn.Module):
    def forward(self, x):
        i = 0
        while i < 5:
            x = x + i
            i += 2
        return x, i


@program(plain(2, 8))
class WhileOfTensor(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        i = 0
        while float(x.abs().sum()) < 1000.0 and i < 20:
            x = self.linear(x) + x * 2
            i += 1
            if i == 7:
                break
            if i % 2 == 0:
                continue
            x = x + 1
        return x, i


@program(floats(2, 3))
class WhileTrue(nn.Module):
    def forward(self, x):
        n = 0
        while True:
            n += 1
            if n > 3:
                break
            x = x * 2
        return x, n


@program(plain(3, 4))
class NestedLoops(nn.Module):
    def forward(self, x):
        y = torch.zeros_like(x)
        for i in range(x.size(0)):
            for j in range(x.size(1)):
                if i == j:
                    continue
                if i + j > 4:
                    break
                y[i, j] = x[i, j] * (i + j)
        return y


@program([floats(2), floats(2), floats(2)])
class OverList(nn.Module):
    def forward(self, xs: list[Tensor]):
        total = torch.zeros(2)
        for i, x in enumerate(xs):
            total = total + x * i
        for x, n in zip(xs, [3, 4, 5]):  # noqa: B905
            total = total - x * n
        for x in xs[::2]:
            total = total * x
        return total


@program(floats(2, 3))
class Appends(nn.Module):
    def forward(self, x):
        outs: list[Tensor] = []
        for i in range(3):
            outs.append(x * i)
            if i == 1:
                outs.append(x)
        return torch.stack(outs), len(outs)


@program(floats(2, 3, 4))
class Recurrence(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        outs = []
        for t in range(x.size(1)):
            h = torch.tanh(self.cell(x[:, t]) + h)
            outs.append(h)
        return torch.stack(outs, dim=1), h


@program(floats(2, 3))
class LoopInBranch(nn.Module):
    def forward(self, x):
        if self.training:
            for i in range(3):
                x = x + i
        else:
            i = 0
            while i < 2:
                x = x * 2
                i += 1
        return x


@program(floats(2, 3))
class InPlaceInLoop(nn.Module):
    def forward(self, x):
        y = x.clone()
        for i in range(3):
            y += i
            y[0].mul_(2)
        return y


@program(floats(2, 4))
class Comprehensions(nn.Module):
    def forward(self, x):
        squares = [i * i for i in range(x.size(1))]
        parts = [c * 2 for c in x.chunk(2, dim=1)]
        return squares, torch.cat(parts, dim=1), sum(squares), [p.size(0) for p in parts]


@program(floats(2, 3))
class Unrolled(nn.Module):
    def forward(self, x):
        for name, factor in (("a", 1), ("bb", 2)):
            x = x * factor + len(name)
        for i in [3, 4]:
            x = x - i
        return x


@program(floats(2, 3))
class ReversedAndSorted(nn.Module):
    def forward(self, x):
        numbers = [3, 1, 2]
        for n in sorted(numbers):
            x = x * n
        numbers.reverse()
        numbers.sort(reverse=True)
        return x, numbers


@program(floats(4, 3))
class BisectionWithTensors(nn.Module):
    def forward(self, x):
        low, high = torch.zeros(()), torch.full((), 8.0)
        for _ in range(10):
            middle = (low + high) / 2
            if bool((x.abs() * middle).sum() > 4):
                high = middle
            else:
                low = middle
        return low
