"""Numbers and texts have the values, and the types, that Python gives them."""

import itertools
import math

import pytest
import torch
from snippets import model, outcome

ARGUMENTS = "n: int, r: float, f: bool, s: str, t"
INIT = "self.k, self.q, self.kc = 3, 2.5, 3\nself.__class__.__constants__ = ['kc']"
X, T = torch.arange(12.0).reshape(2, 6) - 5, torch.tensor([1.0, 2.0])
INPUTS = [(X, 5, 2.5, True, "ab", T), (X, 0, -0.5, False, "", T), (-X, -3, 1.0, True, "7", T)]
EXPRESSIONS = (
    "5 % 0",
    "5 // 0",
    "self.kc % 0",
    "divmod(5, 0)",
    "2 ** 3",
    "2 ** -1",
    "(-2) ** 3",
    "2.0 ** 3",
    "round(2.5)",
    "round(2.567, 2)",
    "round(n / 2)",
    "round(r)",
    "round(x.shape[1] / 4)",
    "x.shape[1] ** 2",
    "x.shape[1] ** 0.5",
    "n ** 2",
    "n ** -1",
    "2 ** n",
    "min(1, 2.5)",
    "max(1, 2.5)",
    "min(n, 2.5)",
    "max(n, r)",
    "min(n, r)",
    "max(1, 2.5, 3)",
    "max(n, 3)",
    "str(1.0)",
    "str(r)",
    "str(n)",
    "str(True)",
    "str(f)",
    "str(2.5)",
    "str(1e20)",
    "str([1, 2])",
    "str((1, 2.0))",
    'str(n) + "a"',
    'f"{1.0}"',
    'f"{r}"',
    'f"{n} {r} {f} {s}"',
    '"{}".format(1.0)',
    '"{}".format(r)',
    '"%s" % r',
    '"%d" % n',
    '"%s %s" % (1.0, 2)',
    "5 / 2",
    "4 / 2",
    "n / 2",
    "7 // -2",
    "-7 // 2",
    "-7 % 3",
    "7 % -3",
    "7.5 // 2",
    "-7.5 % 2",
    "n // -3",
    "n % -3",
    "r // -2",
    "r % -2",
    "r // 2",
    "n % 3.5",
    "divmod(-7, 2)",
    "divmod(n, 3)",
    "divmod(n, -3)",
    "divmod(7.5, 2)",
    "divmod(r, 2)",
    "abs(-2)",
    "abs(-2.5)",
    "abs(n)",
    "abs(r)",
    "sum([1, 2])",
    "sum([1.5, 2.5])",
    "sum([n, 2])",
    'int("3")',
    "int(2.7)",
    "int(-2.7)",
    "int(r)",
    "int(True)",
    'float("1.5")',
    "float(2)",
    "float(n)",
    'bool("")',
    'bool("a")',
    "bool(s)",
    "bool(n)",
    "bool(r)",
    "bool([])",
    "bool(0.0)",
    'len("abc")',
    "len(s)",
    "len([1, 2])",
    "9223372036854775807 + n",
    "n * 9223372036854775807",
    "n << 70",
    "1 << 3",
    "-1 >> 1",
    "~5",
    "-n",
    "+n",
    "not n",
    "math.floor(2.5)",
    "math.ceil(r)",
    "math.floor(r)",
    "math.sqrt(2)",
    "math.pow(2, 3)",
    "math.pi",
    "math.log(8, 2)",
    "math.log2(8)",
    "math.prod([2, 3])",
    "math.trunc(2.5)",
    "math.fabs(-2)",
    "math.gcd(12, 18)",
    "math.factorial(5)",
    "math.isqrt(10)",
    "math.inf",
    "math.isclose(1.0, 1.0)",
    "math.modf(2.5)",
    "math.frexp(2.5)",
    "math.comb(5, 2)",
    "math.ldexp(r, 2)",
    "math.copysign(1, -n)",
    "math.fmod(n, 3)",
    "math.degrees(n)",
    "math.hypot(3, 4)",
    "math.exp(n)",
    "math.floor(n)",
    "math.ceil(7 / 2)",
    "[1, 2.5]",
    "[n, r]",
    "[1, 2.5][0]",
    "(1, 2.5)",
    "[n, r][0]",
    "n == r",
    "1 == 1.0",
    "n < r",
    "1 < 2.5",
    "True == 1",
    "f == 1",
    "f + 1",
    "True + True",
    "f + f",
    "f * n",
    "n & 1",
    "f & True",
    "f | f",
    "f ^ f",
    "n ^ 3",
    "f & n",
    "-True",
    "s + s",
    "s[0:1]",
    "s.upper()",
    '"a,b".split(",")',
    's.join(["a", "b"])',
    '"1.50".rstrip("0")',
    '"abc".find("c")',
    '"A".lower()',
    '"x".isdigit()',
    's == "ab"',
    's < "b"',
    '"a" in s',
    "[1, 2] * 2",
    "[n] * 2",
    "[1, 2] + [3]",
    "(1, 2) + (3,)",
    "[1, 2] == [1, 2]",
    "(1, 2) == (1, 2)",
    "sorted([3, 1, 2])",
    "list(range(n))",
    "list(range(3))",
    "list(range(5, 0, -2))",
    "[i * 2 for i in range(3)]",
    "[i ** 2 for i in range(3)]",
    "[i / 2 for i in range(3)]",
    "any([n, 0])",
    "all([n > 0, f])",
    "any([])",
    "1e-3",
    "1e400",
    'float("inf")',
    'float("nan")',
    "1.0",
    "100000000000000000000.0",
    "0.1 + 0.2",
    "1_000",
    "0x10",
    "3 + 2j",
    "abs(3 + 4j)",
    "complex(1, 2)",
    "self.k ** 2",
    "self.k ** self.k",
    "round(self.q)",
    "min(self.k, self.q)",
    "str(self.q)",
    "self.k / 2",
    "self.k // 2",
    "self.k // -2",
    "-self.k // 2",
    "float(self.k)",
    "x * 2 ** 3",
    "x ** 2",
    "x * round(2.5)",
    "x + min(1, 2.5)",
    "x.view(-1, 2 ** 1)",
    "x.view(2, round(2.5), 3)",
    "x[:, :round(2.5)]",
    "x[:, :2 ** 1]",
    "x.reshape(2, 6 // 2, 2)",
    "x.sum() ** 2",
    "t ** n",
    "t // 2",
    "t % 2",
    "-t // 2",
    "n // t",
    "abs(t)",
    "sum(t)",
    "len(t)",
    "t.sum() > 1",
    "float(t.sum())",
    "int(t.sum())",
    "bool(t.sum())",
    "round(float(t.sum()))",
    "x.shape[0] / x.shape[1]",
    "x.shape[1] // 4",
    "int(x.shape[1] * 0.5)",
    "int(x.shape[1] / 4)",
    "math.sqrt(x.shape[1])",
    "x.shape[1] ** -0.5",
    "x / x.shape[1] ** 0.5",
    "(n + 1) / 2",
    "n * 1.0",
    "isinstance(round(r), int)",
    "isinstance(round(r), float)",
    "isinstance(2 ** 3, int)",
    "isinstance(n / 2, float)",
    "isinstance(f, int)",
    "isinstance(n, (int, float))",
    "isinstance(x.shape[0], int)",
    "isinstance(True, int)",
    'hash("a") == hash("a")',
    'ord("a")',
    "chr(97)",
    "hex(255)",
    "bin(5)",
    "oct(8)",
    "pow(2, 3)",
    "pow(n, 2)",
    "pow(2, 3, 5)",
    "1 - 1",
    "-2 ** 2",
    "2 ** 0.5",
    "4 ** 0.5",
    "0 ** 0",
    "10 % 3.0",
    "-7 // 2.0",
    "5 // 0.3",
    "1 / 3",
    "int(1e18)",
    "int(3.0) // 2",
    "round(-2.5)",
    "round(0.5)",
    "round(1.5)",
    "round(12345, -2)",
    "round(n)",
    "round(7)",
    "x.dtype is torch.float32",
    "x.dtype is not t.dtype",
    "x.dtype == torch.float64",
    "x.dtype in (torch.float16, torch.float32)",
    "x.layout is torch.strided",
    "x.layout == torch.strided",
    "x.layout != t.layout",
    "(x.layout, x.dtype)",
    "math.floor(float(t.sum())) + 1",
    "(math.floor(t.sum().item()) * 3 - math.pow(2, n)) // 2",
    "torch.floor(t.sum())",
    "t.floor()",
    "t.sum().item() and 3.0",
    "not (t.sum() / 8).item()",
    "1 if (t.sum() / 8).item() else 2",
    "bool((t.sum() / 8).item())",
    "int((t.sum() / 8).item())",
)
MATH = tuple(name for name in dir(math) if callable(getattr(math, name)) and name[0] != "_")
TAKEN = ("n", "abs(n)", "abs(r) / 3", "f", "t.sum()", "(t.sum() / 8)", "True", "2")  # by functions
REFUSED = (
    "sorted([3, 1, 2], reverse=True)",
    "round(r, 1)",
    "max(n, r, 3)",
    "sum([n, 2], 5)",
    "2 ** 70",
    "2 ** 63",
    "9223372036854775807 + 1",
    "1 << 70",
    "~n",
    "1 if f else 2.5",
    "n if f else r",
    "n if f else 2.5",
    "s * 2",
    '"ab" * n',
    "x[:, :self.k ** 1]",
    "min(t)",
    "max(t)",
    "isinstance(n ** 2, int)",
    "isinstance(min(1, r), float)",
    "type(n) == int",
    "int(1e19)",
    "round(n, -1)",
    "math.floor(t.sum()) + 1",
    "math.pow(t.sum(), 2)",
)
BODIES = (
    """
v = n
v //= -2
v **= 2
return x, v
""",
    """
m = 2
return x, m ** 3
""",
    """
m = 2.5
return x, round(m)
""",
    """
m = 1
k = 2.5
return x, min(m, k), max(m, k), m + k
""",
    """
m, k = 1, 2.5
return x, min(m, k), m ** 2, k // 0.1
""",
    """
a = (2, 2.5)
return x, a[0] ** 2, round(a[1]), str(a[1])
""",
    """
m = 1.0
return x, str(m), f"{m}", "%s" % m
""",
    "return x, self.kc ** 2, round(self.kc), min(self.kc, 2.5), str(self.kc)",
    "return x, 1.0 // 0.1, self.kc // 0.1, 7.5 % -2",
    """
m = 1.0
return x, m // 0.1, -m % 0.3
""",
    """
m = 9223372036854775807
return x, m + 1
""",
    """
m = 9223372036854775807
return x, m * n
""",
    """
m = 62
return x, 1 << m, 2 << m
""",
    """
v = 0
v += r
return x, v
""",
    """
v = 1
v /= 2
return x, v
""",
    """
v = [1, 2]
v += [3]
return x, v
""",
    """
out = [i * 2.5 for i in range(3)]
return x, out
""",
    """
out = [i if i > 1 else 0 for i in range(3)]
return x, out
""",
    """
a, b = x.shape
return x, a ** 2, round(a / b), a // -b, b % -a, min(a, 0.5), str(a / b)
""",
    """
h = x.shape[0] * 1.0
return x, h, str(h), int(h) ** 2
""",
    """
m = 2
if n > 0:
    m = 3
return x * m ** 2, m ** 2
""",
    """
m = 3 if f else 2
return x, m ** 2
""",
    "return x, (n ** 2) // 2, (n ** 2) % 3, (n ** 2) * 2, -(n ** 2), (n ** 2) / 2",
    "return x, round(r) // 2, round(r) % 3, round(r) * 2, round(r) + n",
    """
m = n ** 2
return x, str(m), f"{m}", m + 1, float(m), int(m)
""",
    """
m = round(r)
return x, str(m), f"{m}", m / 2, [m]
""",
    """
m = round(r)
q = isinstance(m, float)
return x, q
""",
    """
m = [n ** 2, n]
return x, m
""",
    "return x.new_full((2,), n ** 2), torch.full((2,), n ** 2)",
    "return torch.tensor(n ** 2), torch.tensor([n ** 2]), torch.arange(n ** 2)",
    "return torch.full((2,), round(r)), torch.tensor(round(r))",
    "return torch.tensor(min(n, 0.5)), torch.tensor([1, 2.5])",
    "return torch.full((2,), 2 ** 3), torch.tensor(2 ** 3)",
    "return torch.tensor(round(2.5)), torch.tensor(min(1, 2.5)), torch.arange(round(2.5))",
    """
m = 2
return torch.full((2,), m ** 3), torch.tensor(m ** 3)
""",
    "return x.long() * 2 ** 3, x.long() + round(2.5), x.long() * min(1, 2.5), x.long() * (n ** 2)",
    """
k = 2 ** 3
return x.long() * k, x.long() // k, k
""",
    """
v: Optional[int] = None
if f:
    v = 3
return x, v
""",
    """
a = [1, 2, 3]
a[0] = 2 ** 2
return x, a
""",
    'return x, f"{{}} {n}", f"{{{n}}}", f"a{{b}}", "{}}}".format(n) if False else 1',
    'return x, "a  b c".split(), " a ".strip()',
    'return x, "ab".center(6), "a".zfill(3), "aXb".title(), "%5.1f" % 2.0',
    """
w = "a  b"
return x, w.split(), w.title(), w.upper(), len(w), w[0], w * 1 if False else w
""",
    """
w = "-1.0"
return x, float(w), w.isdigit(), w.split("."), int("5")
""",
    "return x, math.floor(-0.5), math.ceil(2.1)",
    "return x, math.sqrt(16), math.log(2.0), math.floor(r), math.ceil(r)",
    """
m = 2.5
return x, math.floor(m), math.ceil(m), math.pow(m, 2), math.log(m), math.fmod(-7, 3)
""",
    'return x, hash("a") == hash("a"), n is None, r is not None',
    "return x, 3 if n else 4, 1 if s else 0",
    "return x, n == 5 and f, n > 1 or r > 1",
)
REFUSED_BODIES = (
    """
v = 1
if f:
    v = 2.5
return x, v
""",
    """
v: float = 1
return x, v
""",
    """
v: float = n
return x, v
""",
    'return x, f"{2.5:.1f}", f"{n!r}", f"{1.0!r}"',
    'return x, f"{r:.2f}"',
)


@pytest.mark.parametrize("body", [*(f"return x, {text}" for text in EXPRESSIONS), *BODIES])
def test_number_is_that_of_python(body: str) -> None:
    grade, notes, difference = outcome(model(body, ARGUMENTS, INIT), INPUTS)
    assert (grade, difference) == ("graph", ""), notes


@pytest.mark.parametrize("body", [*(f"return x, {text}" for text in REFUSED), *REFUSED_BODIES])
def test_number_that_has_no_such_form_is_kept_with_a_note(body: str) -> None:
    grade, notes, _ = outcome(model(body, ARGUMENTS, INIT), INPUTS)
    assert grade == "basic"
    assert ".py:" in notes


def takes(function, *numbers) -> bool:
    """Whether a function can be called with numbers."""
    try:
        function(*numbers)
    except Exception:
        return False
    return True


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", MATH)
def test_a_function_of_math_gives_what_it_gives_in_python(name: str) -> None:
    """Of each kind of number, and of tensors of one number."""
    function = getattr(math, name)
    one = [f"math.{name}({a})" for a in TAKEN if takes(function, 0.5) or takes(function, 2)]
    pairs = itertools.product(TAKEN[:6], ("2", "f", "abs(r)"))
    two = [f"math.{name}({a}, {b})" for a, b in pairs if takes(function, 2, 2)]
    for expression in (*one, *two):
        found = outcome(model(f"return x, {expression}", ARGUMENTS, INIT), INPUTS)
        assert found.difference == "", (expression, found)
