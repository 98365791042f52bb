"""Loops over what changes meanwhile, and loops whose variables are bound anew."""

import pytest
import torch
from snippets import model, outcome

ARGUMENTS = "n: int, r: float, f: bool"
X = torch.arange(12.0).reshape(2, 6) - 5
INPUTS = [(X, 5, 2.5, True), (X, 0, -0.5, False)]
EQUAL = (
    """
total = 0
for i in range(3):
    total += i * 2
return x, total
""",
    """
total = 0.0
for i in (1, 2.5):
    total += i
return x, total
""",
    """
ys = [x, x * 2]
for y in ys:
    if len(ys) < 4:
        ys.append(y + 1)
return ys[-1], len(ys)
""",
    """
ys = [1, 2, 3]
t = 0
for y in ys:
    ys = [9]
    t += y
return x, t, ys
""",
    """
ys = [1, 2, 3]
t = 0
for y in ys:
    ys.clear()
    t += y
return x, t
""",
    """
ys = [1, 2, 3, 4]
t = 0
for y in ys:
    ys.pop()
    t += y
return x, t
""",
    """
ys = [1, 2, 3, 4]
zs = ys
t = 0
for y in ys:
    if len(zs) < 6:
        zs.append(1)
    t += y
return x, t
""",
    """
ys = [1, 2, 3, 4]
t = 0
for i, y in enumerate(ys):
    if len(ys) < 6:
        ys.append(i)
    t += y
return x, t
""",
    """
t = 0
m = 3
for i in range(m):
    m = 10
    t += i
return x, t, m
""",
    """
t = 0
i = 7
for i in range(n):
    t += i
return x, t, i
""",
    """
ys = [1, 2, 3]
t = 0
for i in range(len(ys)):
    ys.append(i)
    t += ys[i]
return x, t, ys
""",
    """
i = 0
while i < 3:
    i += 1
return x, i
""",
    """
y = x
for row in x:
    y = y + row
    x = x * 2
return y
""",
    """
y = x.clone()
for row in y:
    y += row
return y
""",
    """
s2 = "a"
for i in range(3):
    s2 = s2 + str(i / 2)
return x, s2
""",
)
REFUSED = (
    """
total = 0
for i in range(3):
    total = total + i ** 2
return x, total
""",
    """
out = []
for i in (1, 2, 3):
    out.append(i ** 2)
return x, out
""",
    """
v = 1
for i in range(3):
    v = v * 2.5
return x, v
""",
    """
ys = [1, 2]
out = []
for y in ys:
    out.append(y)
    if len(ys) < 5:
        ys.append(y * 2)
return x, out, ys
""",
    """
ys = [1, 2, 3, 4]
zs = [1, 2, 3]
t = 0
for z, y in zip(zs, ys):
    if len(zs) < 6:
        zs.append(1)
    t += y + z
return x, t
""",
    """
d = {"a": 1, "b": 2}
t = 0
for k in d:
    t += d[k]
    d["a"] = 5
return x, t
""",
    """
d = {"a": 1, "b": 2}
t = 0
for k in d.keys():
    t += d[k]
    d["c"] = 5
return x, t
""",
    """
d = {"a": 1, "b": 2}
t = 0
for k, v in d.items():
    d["b"] = 7
    t += v
return x, t
""",
    """
d = {"a": 1, "b": 2}
t = 0
for v in d.values():
    d["b"] = 7
    t += v
return x, t
""",
    """
t = 0
for i in range(3):
    i = i + 5
    t += i
return x, t, i
""",
)


@pytest.mark.parametrize("body", EQUAL)
def test_loop_goes_as_in_python(body: str) -> None:
    grade, notes, difference = outcome(model(body, ARGUMENTS), INPUTS)
    assert (grade, difference) == ("graph", ""), notes


@pytest.mark.parametrize("body", REFUSED)
def test_loop_that_has_no_such_form_is_kept_with_a_note(body: str) -> None:
    grade, notes, _ = outcome(model(body, ARGUMENTS), INPUTS)
    assert grade == "basic"
    assert ".py:" in notes
