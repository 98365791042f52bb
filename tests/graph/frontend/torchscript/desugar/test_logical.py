"""`or` and `and` give an operand, and what stands in a chain of comparisons is evaluated once."""

import pytest
import torch
from snippets import model, outcome

ARGUMENTS = "n: int, r: float, f: bool, s: str"
INIT = "self.none, self.zero, self.k, self.q = None, 0, 3, 2.5"
X = torch.arange(12.0).reshape(2, 6) - 5
INPUTS = [(X, 5, 2.5, True, "ab"), (X, 0, -0.5, False, ""), (-X, -3, 1.0, True, "7")]
EQUAL = (
    "return x, self.none or 4",
    "return x, self.zero or self.k",
    "return x, n or 4",
    'return x, s or "default"',
    "return x, n or None",
    "return x, (x.shape[0] - 2) or 7",
    "return x, x.sum() or x.mean()",
    "return x, (x > 0).any() and (x < 0).any()",
    """
y = x if n or f else -x
return y
""",
    "return x * (n or 3), x + (n and 2)",
    "return torch.sum(x, dim=n or 1) if n == 0 else x",
    "return x[(n and 0) :], x[: n or 1]",
    """
y = torch.relu(x).sum() or torch.tanh(x).sum()
return y
""",
    """
ys = [i or 5 for i in range(3)]
return x, ys
""",
    """
ys = [i and 5 for i in [0, 1, 2]]
return x, ys
""",
    """
t2 = 0
for i in range(n or 2):
    t2 += i
return x, t2
""",
    """
n = n or 3
return x, n
""",
    "return x, n or self.none or 6",
    "return x, n or n or 6, n and n and 6, n and 0 or 5",
    """
a = n > 1 and n < 6
b = f or n > 2
return x, a, b, not (n or f)
""",
    "return x, 1 < n < 6, 0 < x.shape[0] <= 2",
    """
c = 0 < x.sum() < 100
return x, c
""",
    'return x, (s and "a") + "b"',
    'return x, {"k": n or 3}, (n or 2, f and True), [n or 1]',
    "return x, not n or not f",
    """
assert n or True
return x
""",
    """
while n and n > 3:
    n -= 1
return x, n
""",
    "return x, (n or 3) if f else (n and 4)",
    "return x, (n if f else 0) or 9",
    """
y = x.clone()
y.add_(1).sum() or y.mul_(2)
return y
""",
    """
y = x.clone()
z = y.add_(1).sum() > 1e9 or y.mul_(2).sum() > 1e9
return y, z
""",
    """
y = x.clone()
z = [y.sum(), y.add_(1).sum() or y.mul_(2).sum(), y.sum()]
return y, z
""",
    """
y = x.clone()
z = y.sum() + (y.add_(1).sum() or y.mul_(2).sum()) * y.mean()
return y, z
""",
    """
y = x.clone()
z = y.sum() < y.add_(1).sum() < y.mul_(2).sum()
return y, z
""",
    """
y = x.clone()
if y.sum() < y.add_(1).sum() < 100:
    y = y * 2
return y
""",
    """
y = x.clone()
if n > 100 or (y.add_(1).sum() or y.mul_(2).sum()) > 0:
    y = y * 2
return y
""",
    """
y = x.clone()
z = (y.add_(1).sum() or y.mul_(2).sum()) if n > 0 else (y.sub_(1).sum() and y.mul_(3).sum())
return y, z
""",
    """
ks = [1, 2]
return x, ks or [3]
""",
    """
ks: List[int] = []
return x, ks or [3], ks and [1]
""",
    """
p: Optional[int] = None
if f:
    p = n
return x, p or 8
""",
    """
p: Optional[int] = None
if f:
    p = n
q = p and 3
return x, q
""",
    'return x, True and n, False or n, 0 or n, 1 and n, None or n, "" or s',
    "return x, bool(n or f), int(f or False)",
    'return x, str(n or 3), f"{n or 3}", len(s or "abc"), max(n or 1, 2)',
    "return x.view(-1, n or 6) if n == 0 else x.sum()",
    """
k2 = n or self.k
self_k = self.zero or k2
return x, k2 * self_k
""",
    """
m = None or 3
return x, m
""",
    """
z = x if x is not None and x.shape[0] > 1 else None
return z
""",
)
REFUSED = (
    "return x, self.k and self.q",
    "return x, f and n",
    "return x, f or n",
    "return x, n and f",
    "return x, n or r",
    "return x, (1 < n < 6) or 3",
    "return x, (1, 2) or (3, 4)",
    "return x, n or not f",
    "return x, (n or f) and r",
    "return x, (n and r) or (f and s)",
    "return x, n == 0 or x.shape[0] // n",
)
OPTIONAL_ARGUMENTS = (
    "k: Optional[int] = None, h: Optional[List[int]] = None, y: Optional[torch.Tensor] = None"
)
OPTIONAL_INPUTS = [(X,), (X, 0, [], torch.tensor(0.0)), (X, 5, [7], torch.tensor(3.0))]
OPTIONAL = (
    "return x, k or 4",
    """
k = k or 7
return x, k * 2
""",
    "return x, k and 3",
    "return x, h or [1]",
    """
z = y or x
return z
""",
    """
z = y if y is not None else x
w = k or (h[0] if h is not None else 2)
return z, w
""",
    "return x * (k or 1) + (y or x.sum())",
)


@pytest.mark.parametrize("body", EQUAL)
def test_value_is_that_of_python(body: str) -> None:
    grade, notes, difference = outcome(model(body, ARGUMENTS, INIT), INPUTS)
    assert (grade, difference) == ("graph", ""), notes


@pytest.mark.parametrize("body", OPTIONAL)
def test_default_takes_the_place_of_none_and_of_zero(body: str) -> None:
    grade, notes, difference = outcome(model(body, OPTIONAL_ARGUMENTS), OPTIONAL_INPUTS)
    assert (grade, difference) == ("graph", ""), notes


@pytest.mark.parametrize("body", REFUSED)
def test_value_of_two_types_is_kept_with_a_note(body: str) -> None:
    grade, notes, _ = outcome(model(body, ARGUMENTS, INIT), INPUTS)
    assert grade == "basic"
    assert ".py:" in notes
