"""How loops that are left by break, continue and return, and early returns, are written again."""

from typing import Any

import pytest
import torch
from programs.source import written
from torch import Tensor, nn

EXPECTED: dict[type[nn.Module], str] = {}


def reads(*lines: str) -> Any:
    """A class whose forward is written in these lines."""

    def note(cls: type[nn.Module]) -> type[nn.Module]:
        EXPECTED[cls] = "\n".join(lines)
        return cls

    return note


@reads(
    "for _ in range(5):",
    "    x = x * 2",
    "    if x.sum() > n:",
    "        break",
    "return x",
)
class Breaks(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        for _ in range(5):
            x = x * 2
            if x.sum() > n:
                break
        return x


@reads(
    "for _ in range(5):",
    "    x = x * 2",
    "    if x.sum() > n:",
    "        return x",
    "return -x",
)
class Returns(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        for _ in range(5):
            x = x * 2
            if x.sum() > n:
                return x
        return -x


@reads(
    "for i in range(n):",
    "    x = x * 2",
    "    if i % 2 == 0:",
    "        continue",
    "    if x.sum() > 9:",
    "        break",
    "    x = x - 1",
    "return x",
)
class ContinuesThenBreaks(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        for i in range(n):
            x = x * 2
            if i % 2 == 0:
                continue
            if x.sum() > 9:
                break
            x = x - 1
        return x


@reads(
    "k = 0",
    "for i in range(9):",
    "    if i == 2:",
    "        x = x + 1",
    "        continue",
    "    if i == n:",
    "        x = x * 3",
    "        break",
    "    if k > 7:",
    "        return x, i",
    "    k += i",
    "x = x + 1",
    "return x, k",
)
class AllThree(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        k = 0
        for i in range(9):
            if i == 2:
                x = x + 1
                continue
            if i == n:
                x = x * 3
                break
            if k > 7:
                return x, i
            k += i
        x = x + 1
        return x, k


@reads(
    "for i, x_1 in enumerate(xs):",
    "    if i > n:",
    "        break",
    "    x = x + x_1",
    "for x_2, y in zip(xs, xs[::2]):",
    "    x = x + x_2 * y",
    "    if x.sum() > 20:",
    "        return x, y",
    "for x_3 in xs:",
    "    if x_3.sum() > n:",
    "        continue",
    "    x = x - x_3",
    "return x, x",
)
class OverLists(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        for i, x_1 in enumerate(xs):
            if i > n:
                break
            x = x + x_1
        for x_2, y in zip(xs, xs[::2]):  # noqa: B905
            x = x + x_2 * y
            if x.sum() > 20:
                return x, y
        for x_3 in xs:
            if x_3.sum() > n:
                continue
            x = x - x_3
        return x, x


@reads(
    "y = x.clone()",
    "for i in range(3):",
    "    for j in range(min(3, n)):",
    "        if i == j:",
    "            continue",
    "        if i + j > 3:",
    "            break",
    "        y[i] = y[j] + i",
    "    if y.sum() > 5:",
    "        return y, i",
    "return y, n",
)
class Nested(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        y = x.clone()
        for i in range(3):
            for j in range(min(3, n)):
                if i == j:
                    continue
                if i + j > 3:
                    break
                y[i] = y[j] + i
            if y.sum() > 5:
                return y, i
        return y, n


@reads(
    "for i in range(4):",
    "    for j in range(n):",
    "        if i * j > 3:",
    "            return x",
    "        x = x + i",
    "return -x",
)
class ReturnsFromTheInnerLoop(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        for i in range(4):
            for j in range(n):
                if i * j > 3:
                    return x
                x = x + i
        return -x


@reads(
    "i = 0",
    "while float(x.abs().sum()) < 1000.0 and i < 20:",
    "    x = x * 2",
    "    i += 1",
    "    if i == 7:",
    "        break",
    "    if not i % 2 == 0:",
    "        x = x + n",
    "return x, i",
)
class While(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        i = 0
        while float(x.abs().sum()) < 1000.0 and i < 20:
            x = x * 2
            i += 1
            if i == 7:
                break
            if i % 2 == 0:
                continue
            x = x + n
        return x, i


@reads(
    "while True:",
    "    n += 1",
    "    if n > 5:",
    "        return x, n",
    "    if n == 1:",
    "        x = x + 1",
    "        continue",
    "    if x.sum() > 30:",
    "        break",
    "    x = x * 2",
    "return -x, n",
)
class WhileTrue(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        while True:
            n += 1
            if n > 5:
                return x, n
            if n == 1:
                x = x + 1
                continue
            if x.sum() > 30:
                break
            x = x * 2
        return -x, n


@reads(
    "with torch.no_grad():",
    "    for i in range(n):",
    "        x = x + 1",
    "        if i == 1:",
    "            return x",
    "for i in range(n):",
    "    with torch.no_grad():",
    "        x = x * 2",
    "        if i == 2:",
    "            break",
    "    x = x - 3",
    "return -x",
)
class WithoutGradient(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        with torch.no_grad():
            for i in range(n):
                x = x + 1
                if i == 1:
                    return x
        for i in range(n):
            with torch.no_grad():
                x = x * 2
                if i == 2:
                    break
            x = x - 3
        return -x


@reads(
    "y = x",
    "for i in range(6):",
    "    if i == n:",
    "        if x.sum() > 3:",
    "            y = x * 2",
    "        else:",
    "            y = x + i",
    "        break",
    "    x = x + 1",
    "return x - y",
)
class BreaksBehindAnIf(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        y = x
        for i in range(6):
            if i == n:
                if x.sum() > 3:  # noqa: SIM108
                    y = x * 2
                else:
                    y = x + i
                break
            x = x + 1
        return x - y


@reads(
    "y = x.clone()",
    "b = x * 2",
    "a = x",
    "for i in range(6):",
    "    if i == n:",
    "        a, b = b, a",
    "        break",
    "    y += i",
    "    if y.sum() > 9:",
    "        continue",
    "    y *= 2",
    "return a - b, y",
)
class SwapsAndBreaks(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        y = x.clone()
        a, b = x, x * 2
        for i in range(6):
            if i == n:
                a, b = b, a
                break
            y += i
            if y.sum() > 9:
                continue
            y *= 2
        return a - b, y


@reads(
    "for i in range(n):",
    "    if i > 1:",
    "        x = x * i",
    "    else:",
    "        x = x + 1",
    "return x",
)
class ContinuesAtTheEnd(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        for i in range(n):
            if i > 1:
                x = x * i
            else:
                x = x + 1
                if i == 1:
                    continue
        return x


@reads(
    "k = 0",
    "for i in range(1, n, 2):",
    "    k += i",
    "    if x.sum() > k:",
    "        break",
    "return x * k",
)
class OverRange(nn.Module):
    def forward(self, x, xs: list[Tensor], n: int):
        k = 0
        for i in range(1, n, 2):
            k += i
            if x.sum() > k:
                break
        return x * k


@pytest.mark.parametrize("cls", [*EXPECTED])
def test_loops_are_left_where_the_source_leaves_them(cls: type[nn.Module]) -> None:
    xs = [torch.ones(3), torch.full((3,), 2.0), torch.arange(3.0)]
    for n in range(5):
        assert written(cls(), torch.tensor([1.0, -2.0, 3.0]), xs, n) == EXPECTED[cls]


class EarlyReturns(nn.Module):
    def forward(self, x: Tensor, n: int):
        if n > 0:
            if n == 1:
                return x + 1
            x = x * 2
        elif x.sum() > 0:
            return x
        x = x - 3
        if n == 4:
            y = x * x
        elif n == 5:
            return -x
        else:
            y = x
        return x + y


@pytest.mark.parametrize("n", range(-1, 6))
def test_early_returns_are_returns_again(n: int) -> None:
    assert written(EarlyReturns(), torch.ones(2), n) == (
        "if n > 0:\n"
        "    if n == 1:\n"
        "        return x + 1\n"
        "    x = x * 2\n"
        "elif x.sum() > 0:\n"
        "    return x\n"
        "x = x - 3\n"
        "if n == 4:\n"
        "    y = x * x\n"
        "else:\n"
        "    if n == 5:\n"
        "        return -x\n"
        "    y = x\n"
        "return x + y"
    )
