"""Loops that are left in many ways: by break, continue and return, in branches and inner loops."""

import torch
from torch import Tensor, nn

from programs.case import floats, plain, program


@program(floats(2, 3), 1)
@program(floats(2, 3), 4)
@program(floats(2, 3), 9)
class BreakInNestedBranches(nn.Module):
    def forward(self, x, n: int):
        y = x
        for i in range(6):
            if i > 2:
                if n == i:
                    y = x * 2
                    break
                x = x - 1 if n < i else x + 1
            else:
                y = y + x
                if i == n:
                    break
            x = x * 2
        return x, y


@program(floats(2, 3), 0)
@program(floats(2, 3), 3)
@program(floats(2, 3), 8)
class TwoBreaks(nn.Module):
    def forward(self, x, n: int):
        count = 0
        for i in range(7):
            if i == n:
                break
            count += i
            if count > 9:
                count = -count
                break
            x = x + count
        return x, count


@program(floats(2, 3), 0)
@program(floats(2, 3), 3)
@program(floats(2, 3), 5)
@program(floats(2, 3), 9)
class BreakContinueReturn(nn.Module):
    def forward(self, x, n: int):
        k = 0
        for i in range(n):
            if i == 1:
                continue
            if i == 4:
                x = x * 3
                break
            k += i
            if i > n - 2:
                return x, k
            x = x + 1
        return x * 2, k + 1


@program(floats(2, 3), 0)
@program(floats(2, 3), 2)
@program(floats(2, 3), 4)
class ReturnOfInnerLoop(nn.Module):
    def forward(self, x, n: int):
        for i in range(3):
            for j in range(n):
                if i + j == 4:
                    return x, [i, j]
                if i * j == 2:
                    break
                x = x + j
            if i == 2:
                continue
            x = x - 1
        return x, [n]


@program(floats(2, 3), 3)
class BreakOfInnerLoop(nn.Module):
    def forward(self, x, n: int):
        for i in range(3):
            last = x
            for j in range(n):
                last = last * 2
                if i == j:
                    break
                last = last + x
            x = x + last
        return x


@program(plain(2, 3), 2)
@program(plain(2, 3), 9)
class BreakAfterChanges(nn.Module):
    def forward(self, x, n: int):
        y = x.clone()
        for i in range(5):
            y += i
            y[0] = i
            if i == n:
                y.mul_(2)
                break
            y.sub_(x)
        x.add_(y)
        return y


@program([floats(2), floats(2), floats(2)], 1, python="basic")
@program([floats(2), floats(2), floats(2)], 5, python="basic")
class BreakOverLists(nn.Module):
    def forward(self, xs: list[Tensor], n: int):
        total = torch.zeros(2)
        last = xs[0]
        for i, x in enumerate(xs):
            last = x
            if i == n:
                break
            total = total + x * i
        for x, k in zip(xs, [3, 4, 5]):  # noqa: B905
            if k == n:
                continue
            total = total - x * k
            if k == n + 3:
                return total, last
        for x in xs:
            if n == 5:
                xs.append(x)
                break
        return total * 2, last + len(xs)


@program({"a": floats(2), "bb": floats(2)}, 1)
@program({"a": floats(2), "bb": floats(2)}, 3)
class BreakOverDict(nn.Module):
    def forward(self, xs: dict[str, Tensor], n: int):
        total = torch.zeros(2)
        for name, x in xs.items():
            if len(name) == n:
                break
            total = total + x
        for i, name in enumerate(xs):
            if i == n:
                return total, name
            total = total * 2
        return total, "none"


@program(plain(2, 3), 2)
@program(plain(2, 3), 30)
class WhileWithAll(nn.Module):
    def forward(self, x, n: int):
        i = 0
        while i < n and x.sum() < 1000:
            i += 1
            if i == 4:
                continue
            if i == 9:
                break
            x = x + i
            if x.max() > 30:
                return x, -i
            if i % 3 == 0:
                x = x * 2
                continue
            x = x - 1
        return x * 2, i


@program(floats(2, 3), 1)
@program(floats(2, 3), 7)
class LoopWithoutGradient(nn.Module):
    def forward(self, x, n: int):
        y = x
        with torch.no_grad():
            for i in range(5):
                y = y * 2
                if i == n:
                    break
                y = y + 1
        for i in range(3):
            with torch.no_grad():
                y = y - 1
                if i + 2 == n:
                    break
            y = y * 3
        return x + y


@program(floats(2, 3), 2)
@program(floats(2, 3), 12)
class SetBeforeAndReadBehind(nn.Module):
    def forward(self, x, n: int):
        found, where = False, -1
        best = x
        for i in range(10):
            if i == n:
                found, where = True, i
                best = x * i
                break
            x = x + i
        if found:
            return best, where
        return x, where - 1


@program(floats(2, 3), 2)
@program(floats(2, 3), 3)
class FlagUsedTwice(nn.Module):
    def forward(self, x, n: int):
        done = False
        for i in range(6):
            if i == n:
                done = True
            else:
                x = x + i
            if done:
                x = x * 2
            x = x - 1
            if done:
                break
        return x, done


@program(floats(2, 3), 0)
@program(floats(2, 3), 3)
class Swaps(nn.Module):
    def forward(self, x, n: int):
        a, b, c = x, x * 2, x * 3
        for i in range(5):
            if i == n:
                a, b, c = c, a, b
                break
            if i == 1:
                a, b = b, a
                continue
            c = a + b
            b = c
        return a, b - c


@program(floats(2, 3), 0)
@program(floats(2, 3), 5)
class AlwaysLeaves(nn.Module):
    def forward(self, x, n: int):
        for i in range(n):
            if x.dim() == 2:
                x = x + i
                break
            return x * 2
        while True:
            x = x + 1
            if n > 2:
                return x
            n += 1


@program(floats(2, 3), 0)
@program(floats(2, 3), 4)
class RaisesInLoop(nn.Module):
    def forward(self, x, n: int):
        for i in range(6):
            if i > 5:
                raise ValueError("too many")
            if i == n:
                break
            assert i < 6
            x = x * 2
        return x
