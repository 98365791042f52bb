"""Python numbers and strings: arithmetic, the math module, formatting."""

import math

import torch
from torch import nn

from programs.case import floats, plain, program


@program(floats(2, 7))
class WholeNumbers(nn.Module):
    def forward(self, x):
        b, n = x.shape
        divided = n // 3, n % 3, -n // 2, -n % 4, n / 2, divmod(n, 3)
        return x * (n - b), divided, (-n) ** 2, n**0.5, 2**n, abs(-n)


@program(plain(2, 7), 0.75)
class RealNumbers(nn.Module):
    def forward(self, x, r: float):
        s = r * 2 - 1 / r
        return (
            s,
            s // 0.3,
            s % 0.4,
            -s,
            s**2,
            round(s),
            int(s * 10),
            float(x.size(1)),
            abs(-s),
            r < s,
        )


@program(floats(2, 7))
class BitsOfNumbers(nn.Module):
    def forward(self, x):
        n = x.size(1)
        return x, n << 3, n >> 1, n & 5, n | 8, n ^ 3


@program(plain(1), 0.7)
class MathFunctions(nn.Module):
    def forward(self, x, r: float):
        roots = (
            math.sqrt(r),
            math.exp(r),
            math.log(r),
            math.log10(r),
            math.log1p(r),
            math.pow(r, 3.0),
        )
        waves = (
            math.sin(r),
            math.cos(r),
            math.tan(r),
            math.atan(r),
            math.atan2(r, 2.0),
            math.tanh(r),
        )
        whole = (
            math.floor(r * 9),
            math.ceil(r * 9),
            math.fabs(-r),
            math.fmod(9.0, r),
            math.gcd(12, 18),
        )
        rest = math.pi, math.e, math.isnan(r), math.isinf(r), math.degrees(r), math.factorial(5)
        return x * math.sqrt(2), roots, waves, whole, rest, math.copysign(1.0, -r), math.erf(r)


@program(plain(2, 7))
class BuiltinFunctions(nn.Module):
    def forward(self, x):
        n = x.size(1)
        numbers = [3, 1, 2]
        high = max(n, 3), min(1.5, n / 3), max(numbers), min(numbers), max([0.5, 0.7])
        return (
            high,
            sum(numbers),
            len(numbers),
            any([True, n > 9]),
            all([n > 3, n < 8]),
            round(n / 2),
        )


@program(plain(1))
class RoundedConstant(nn.Module):
    def forward(self, x):
        return x, round(2.5)


@program(plain(1), 3)
class Conversions(nn.Module):
    def forward(self, x, n: int):
        kinds = int(2.7), float(n), bool(n), str(n), int("12"), float("0.5"), int(True)
        return kinds, str(2.5), ord("a"), chr(98), bool(0), float("inf"), hex(n)


@program(plain(1), "Net.layer_1")
class StringMethods(nn.Module):
    def forward(self, x, s: str):
        cases = s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase()
        parts = (
            s.split("."),
            s.partition("_"),
            s.replace("_", "-"),
            "-".join(["a", "b"]),
            s.strip("N1"),
        )
        asked = s.startswith("Net"), s.endswith("x"), s.find("layer"), s.count("e"), "lay" in s
        return x, cases, parts, asked, len(s), s[0], s[-1], s[1:3], s + "!", s == "Net", s.isdigit()


@program(plain(2, 3), "layer")
class Formatting(nn.Module):
    def forward(self, x, s: str):
        b, n = x.shape
        plain = f"{s}_{b}x{n}" + '"quoted" \\ and\nbroken'
        return x, plain, "{} and {}".format(b, s), "%s %d" % (s, n)  # noqa: UP031, UP032


@program(plain(2, 3))
class StringsInList(nn.Module):
    def forward(self, x):
        names: list[str] = []
        for i in range(3):
            names.append("x" + str(i))  # noqa: PERF401
        names[0] = "first"
        return names, ",".join(names), "xx" in names, [len(name) for name in names]


@program(plain(2, 3), 2 + 1j)
class ComplexNumbers(nn.Module):
    def forward(self, x, z: complex):
        w = z * (1 + 2j)
        return x * 2, w, abs(z), z + 1, complex(1.0, 2.0) - w


@program(floats(2, 8))
class NumbersFromTensors(nn.Module):
    def forward(self, x):
        n = int(x.shape[-1] in [8, 9])
        high = float(x.max())
        k = x.argmax().item()
        return x * n, high * 2, k, int(x[0, 0] > 0), x.mean().item() + 1


@program(floats(2, 8))
class NumbersScaleTensors(nn.Module):
    def forward(self, x):
        d = x.size(-1)
        scale = 1.0 / math.sqrt(d)
        half = d // 2
        steps = torch.arange(half, dtype=torch.float32)
        rates = torch.exp(-math.log(10000.0) * steps / (half - 1))
        return x * scale, torch.cat([x[:, :half] * rates.sin(), x[:, half:] * rates.cos()], dim=-1)


class Attributes(nn.Module):
    """Plain attributes of every kind."""

    def __init__(self, eps: float = 1e-5, sizes: tuple[int, ...] = (2, 3)):
        super().__init__()
        self.eps = eps
        self.sizes = sizes
        self.numbers = [1.5, -2.5]
        self.name = 'it\'s "fine"\n\t\\ {braces} é'
        self.infinite = float("inf")
        self.nothing = None
        self.flags = [True, False]
        self.table = {"a": 1, "b": 2}

    def forward(self, x):
        y = x.clamp(max=self.infinite) + self.eps * self.sizes[1]
        if self.nothing is not None:
            y = y * 2
        if self.flags[0]:
            y = y * self.numbers[1] + self.table["b"]
        return y, self.name, len(self.sizes), self.sizes


program(floats(2, 3))(Attributes)
program(floats(2, 3), init=(0.5, (7, 8, 9)))(Attributes)
