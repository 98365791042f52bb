"""Operators, comparisons, and values that conditions choose."""

import pytest
from source_rows import each

BINARY = ["+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<", ">>"]
COMPARISONS = ["==", "!=", "<", "<=", ">", ">=", "is", "is not", "in", "not in"]
LOUD = """
def loud(log, value):
    log.append(value)
    return value
"""
COUNTED = "class Log:\n    pass\n"
ROWS = """
# unary
return -x, +x, ~(x > 0), not on, -n, +n, ~n, not n

# matrix
return x @ x.T

# of known numbers
return x * (self.times**2 + 7 // 2 % 3 - (1 << 3)) + self.scale / 4

# of texts
return x, self.word + '!', self.word * 2, 'a' < self.word, 'al' in self.word

# of a text, in the old way
return x, '%s is %d %%' % (self.word, n), '%.2f' % self.scale

# of tuples
return (x, n) + (1,), (n,) * 2, 2 * (n, x), (1, 2) < (1, 3), x.shape[:1] + (3,)

# of lists
return [x] + [n], [n] * 2, 2 * [n], [1, 2] == [1, 2], [n] == [3]

# of precedence
y = x * 2
return (
    -x**2, (-x) ** 2, x - (y - n), x / (n + 1) / 2, x / ((n + 1) / 2), not n == 3,
    (n + 1) * 2 - n,
)

# comparison of tensors
return x > 0, x == x, x != n, 0 < x

# a chain
return x, 0 < n < 4, n == n == 3, 0 < n <= 3 != 2

# a chain of tensors in a condition
return x if 0 < x.sum() < 100 else -x

# a chain: the middle is evaluated once
log = []
r = 0 < loud(log, n) < 4
return x, r, log

# a chain: the rest is not evaluated
log = []
r = loud(log, n) < 2 < loud(log, 5) < loud(log, 7)
return x, r, log

# is None
return x if self.none is None else n, x is None, n is not None, None is self.none

# is of what is known
return x, self.flag is True, self.none is not False, self.lin is self.lin

# in
return x, n in (1, 3), n not in [0, 3], 2 in self.sizes, 'a' in self.table, n in self.sizes

# in a range
return x, n in range(2, 4), 3 in range(4)

# and, or of bools
return x, on and n > 1, on or n > 1, not on and n == 0

# and, or as values
return x, n and 5, n or 'none', n and on and 7, n or on or x

# and, or of what is known
return x, self.none or self.times, self.word and n, self.times and 0 or 4

# and: the rest is not evaluated
log = []
r = on and loud(log, n) and loud(log, 2)
return x, r, log

# or: the rest is not evaluated
log = []
r = loud(log, n) or loud(log, on) or loud(log, 2)
return x, r, log

# and guards
ys = [x] if on else []
return x if len(ys) > 0 and ys[0].sum() > -100 else -x

# or of lists
ys = []
zs = ys or [x]
zs.append(n)
return ys, zs, len(zs)

# a conditional expression
return x if on else -x, 1 if n > 2 else 'no' if n else None

# a conditional expression evaluates one
log = []
y = loud(log, 1) if loud(log, n) else loud(log, 2)
return x, y, log

# a conditional expression of modules
return (self.lin if on else torch.tanh)(x)

# a conditional expression of known modules
return (self.lin if self.flag else None)(x)

# a conditional expression of tuples
a, b = (x, n) if on else (n, x)
return a, b

# a condition that is a tensor
return x if (x > 0).any() else -x, bool((x > 0).all())

# a condition that is a list
ys = [n] if on else []
return (x if ys else -x), not ys

# a condition that is a number
return x if n else -x, not n, bool(n)

# a condition that is a text
return x if self.word else -x, 1 if '' else 2

# not of a chain
return x, not 0 < n < 4, not (on and n)

# truth of a module
return x if self.lin else -x, bool(self.layers), not self.layers[:0]

# division by zero
return x, 1 // n, 1 % n

# floats
return x, 0.1 + 0.2, 1e300 * 1e10, -0.0, n / 2, 7.5 // 2, -7 // 2, -7 % 3

# large numbers
return x, 2**70, n << 40, 10**20 + n

# complex
return x * 1j, (1 + 2j) * n

# infinite
return x.clamp(max=float('inf')), float('-inf') < n, math.inf, -math.inf

# bool and int
return x, True + n, on + on, on * n, True == 1, on & True, on ^ True

# an augmented constant that nobody reads
a = True
a &= n
return x
"""


@each(ROWS)
def test_an_expression_has_the_value_it_has_in_python(reads, body):
    reads(body, head=LOUD if "loud(" in body else "")


@pytest.mark.parametrize("sign", BINARY)
def test_each_operator(reads, sign):
    tensor = "x.abs()" if sign in ("/", "**") else "(x * 4).int()"
    numbers = "" if sign == "@" else f", n {sign} 2, 5 {sign} (n + 1), self.times {sign} 3"
    right = "x.T" if sign == "@" else "2"
    reads(f"y = {'x' if sign == '@' else tensor}\nreturn y {sign} {right}{numbers}")


@pytest.mark.parametrize("sign", COMPARISONS)
def test_each_comparison(reads, sign):
    other = {"in": "(1, 3)", "not in": "(1, 3)", "is": "None", "is not": "None"}.get(sign, "2")
    reads(f"return x, n {sign} {other}, self.times {sign} {other}, 1 if n {sign} {other} else 0")
