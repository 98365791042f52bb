"""Branches, exits of them, and what variables are after them."""

import pytest
from source_rows import each

ROWS = """
# if
if on:
    x = x + 1
return x

# if, else
if on:
    y = x + 1
else:
    y = x - 1
return y

# elif
if n > 3:
    y = 1
elif n > 1:
    y = 2
elif n:
    y = 3
else:
    y = 4
return x * y

# elif without else
y = 0
if n > 3:
    y = 1
elif n > 1:
    y = 2
return x * y

# of what is known
if self.flag and self.times == 2:
    return x
return self.missing(x)

# of what is known, else
if self.none is not None:
    y = self.none(x)
else:
    y = x
return y

# of training
if self.training:
    x = x * 2
return x

# of training, with an exit
if not self.training:
    return x
return x * 2

# of a tensor
if x.sum() > 0:
    x = -x
return x

# of types
y = x if on else n
if isinstance(y, torch.Tensor):
    y = y.sum()
return y

# of another type in each
if on:
    y = 'a'
elif n:
    y = [x]
else:
    y = None
return x, y

# an early return
if on:
    return x
return -x

# early returns of several kinds
if n == 0:
    return None
if n == 1:
    return x, n
if on:
    return [x]
return x

# an early return in each
if on:
    return x
else:
    return -x

# an early return, nested
if on:
    if n > 3:
        return x
    x = x * 2
else:
    x = x * 3
return x + 1

# an early return, nested twice
if on:
    if n > 3:
        return x
    elif n > 2:
        x = x * 2
    else:
        return x * 5
    x = x + 1
return x + 1

# nothing returned
if on:
    x.add_(1)

# nothing returned early
if on:
    return
x.add_(1)

# nothing or a value
if on:
    return x

# assigned in one, read in it
if on:
    y = n
    x = x + y
return x

# assigned under the same condition
if on:
    y = n
z = x + 1
if on:
    z = z + y
return z

# deleted in one
y = n
if on:
    del y
    y = 2
return x * y

# changed in place in one
y = x.clone()
if on:
    y.add_(1)
else:
    y[0] = n
return y

# a list changed in one
ys = [x]
if on:
    ys.append(n)
return ys, len(ys), len(ys) == 2

# a list changed in both
ys = [x]
if on:
    ys.append(n)
else:
    ys.append(2)
return ys, len(ys), ys[1]

# a list made in each
if on:
    ys = [x, n]
else:
    ys = [x]
ys.append(3)
return ys, len(ys), sum(ys[1:])

# a dict changed in one
d = {'a': x}
if on:
    d['b'] = n
return d, 'b' in d, len(d), [*d]

# a dict changed by its name elsewhere
d = {'a': x}
e = d
if on:
    e['b'] = n
return 'b' in d, x

# a list in a tuple changed in one
p = ([x], n)
if on:
    p[0].append(n)
return p, len(p[0])

# raise
if n > 100:
    raise ValueError(f'{n} is too large')
return x

# raise that is reached
if n > 2:
    raise ValueError(f'{n} is too large')
return x

# raise in else
if on:
    y = x
else:
    raise RuntimeError('off')
return y

# raise in elif
if n > 2:
    y = x
elif n > 0:
    y = -x
else:
    raise KeyError(n)
return y

# raise of a class
if n == 0:
    raise NotImplementedError
return x

# raise from
if n == 0:
    raise ValueError('no') from None
return x

# raise and return
if n == 0:
    raise ValueError('no')
elif n == 1:
    return x
x = x + 1
return -x

# raise at the end
if on:
    return x
raise ValueError('off')

# assert
assert n < 100, f'{n} is too large'
assert x.dim() == 2
return x

# torch's assert
torch._assert(n < 100, f'{n} is too large')
torch._assert(message='no', condition=x.dim() == 2)
return x * n

# torch's assert that fails
torch._assert(n > 2, f'{n} is too small')
return x * n

# assert that fails
assert n > 2, f'{n} is too small'
return x

# assert of what is known
assert self.flag and len(self.sizes) == 3, 'no'
return x

# assert in a branch
if on:
    assert n > 1
    return x
return -x

# assert not
assert not n > 3
return x

# with no_grad
with torch.no_grad():
    y = x * 2
return y + x

# with, and a return in it
with torch.no_grad():
    return self.lin(x)

# with, and an early return in it
with torch.no_grad():
    y = self.lin(x)
    if on:
        return y
    y = y + 1
return y * x

# with, in a branch
if on:
    with torch.no_grad():
        x = x + 1
return x * 2

# with several items
with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
    y = self.lin(x)
return y.float() + x

# with in with
with torch.no_grad():
    y = x + 1
    with torch.enable_grad():
        z = x * 2
return y, z

# with, and a list filled in it
ys = []
with torch.no_grad():
    ys.append(x * 2)
return ys[0] + 1, ys, len(ys)

# with, and a list of lists filled in it
ys, zs = [], [x]
with torch.no_grad():
    inner = [x * 3]
    ys.append(inner)
    zs[0] = x * 4
    inner.append(n)
ys[0].append(5)
return ys, len(inner), zs[0], inner is ys[0], [y + 1 for y in zs]

# with, and a dict filled in it
d = {'a': x}
with torch.no_grad():
    d['b'] = self.lin(x)
    d['a'] = x * n
return d['b'] * 2, [v + 1 for v in d.values()], d

# with, and a tuple assigned in it
with torch.no_grad():
    pair = x * 2, (self.lin(x), n)
a, (b, c) = pair
return a + 1, b + c, pair

# with, and a zip made in it
with torch.no_grad():
    rows = zip([x + 1, x + 2], [x * 3, n])
return [a * b for a, b in rows]

# with, and any names that a function in it takes
def f(**given):
    return given['a'] + g(**given)
def g(a, b=1):
    return a * b
with torch.no_grad():
    y = f(a=x * 2, b=n)
    d = {**{'a': x * 3}}
return y + 1, d['a']

# with, and a list filled in a loop in it
ys = []
with torch.set_grad_enabled(self.training):
    for layer in self.layers:
        x = layer(x)
        ys.append(x)
for y in ys[1:]:
    x = x + y
return x, ys[0]

# with in with, and a list filled in it
ys = []
with torch.no_grad():
    with torch.no_grad():
        ys.append(x + 1)
    ys.append(ys[0] * 2)
return ys[0] + ys[1]

# with, in a branch, and a list filled in it
ys = [x]
if on:
    with torch.no_grad():
        ys.append(x * 2)
        zs = [x - 1]
    zs.append(ys[1])
else:
    zs = ys
return ys[-1], zs[0], len(zs)

# with a condition
with torch.set_grad_enabled(on):
    y = self.lin(x)
return y

# with and a loop
with torch.no_grad():
    for i in range(n):
        x = x + i
        if i > 1:
            break
return x

# with in a loop
for i in range(n):
    with torch.no_grad():
        x = x + i
        if i > 1:
            break
return x

# with in a loop, continued
for i in range(n):
    with torch.no_grad():
        if i == 1:
            continue
        x = x + i
    x = x * 2
return x

# match of numbers
match n:
    case 0:
        y = x
    case 1 | 3:
        y = -x
    case _:
        y = x * 2
return y

# match with returns
match n:
    case 0:
        return x
    case 1:
        return -x
return x * 2

# match of texts
match self.word:
    case 'half':
        return x / 2
    case _:
        return x

# match with a guard
match n:
    case 3 if on:
        return x
    case 3 | 4:
        return -x
    case _:
        return x * 2

# match with a name
match n + 1:
    case 1:
        return x
    case k:
        return x * k

# match of None
match self.none:
    case None:
        return x
    case _:
        return -x

# match of classes
match (x if on else n):
    case torch.Tensor():
        return x
    case int():
        return x * n

# match without a case that fits
y = 1
match n:
    case 7:
        y = 2
return x * y

# match with a name in a loop
y = 0
for i in range(n):
    match i:
        case 7:
            pass
        case y:
            pass
return x * y

# match with a name in a loop, read in its case
total = 0
for i in range(n):
    match i:
        case 0:
            total += 1
        case k:
            total += k * 2
return x * total

# match with a name of some values in a loop
last = 9
i = 0
while i < n:
    match i:
        case (1 | 2) as last:
            i += 1
        case _:
            i += 1
return x * last

# match evaluates its subject once
ys = [1, 2]
match ys.pop():
    case 1:
        y = x
    case 2:
        y = -x
    case _:
        y = x * 0
return y, ys

# try, whose body is left
for i in range(3):
    try:
        if self.times > 1:
            break
    except AttributeError:
        x = x * 5
    else:
        x = x * 100
return x

# try with a return, and else
try:
    if self.times > 1:
        return x
except AttributeError:
    pass
else:
    return x * 100
return x - 1

# try with else
try:
    k = self.times
except AttributeError:
    k = 1
else:
    k = k + n
return x * k

# pass
if on:
    pass
else:
    x = -x
return x

# expressions without use
'text'
x.sum()
n + 1
return x

# nested five times
y = 0
if n > 0:
    y += 1
    if n > 1:
        y += 1
        if n > 2:
            y += 1
            if n > 3:
                return x
            y += 5
        y += 7
    y += 11
return x * y
"""


@each(ROWS)
def test_a_way_is_taken_where_python_takes_it(reads, body):
    reads(body)


AS_WRITTEN = [
    "if on:\n    return x\nx = x + 1\nreturn -x",
    "if on:\n    y = x + 1\nelif n > 2:\n    y = x - 1\nelse:\n    y = x\nreturn y",
    'if n > 100:\n    raise ValueError(f"{n} is too large")\nreturn x',
    "with torch.no_grad():\n    y = x * 2\nreturn y + x",
]


@pytest.mark.parametrize("body", AS_WRITTEN)
def test_source_reads_as_one_would_write_it(reads, forward_of, body):
    assert forward_of(reads(body)) == body


REFUSED = """
# try
try:  # <- `try` has no form in a graph
    return x + 1
except ValueError:
    return x

# a value of with
with torch.autograd.profiler.record_function('a') as f:
    y = x
return x, f is None  # <- what a `with` returns is used

# raise again
if n > 100:
    raise  # <- `raise` without an exception
return x

# raise of a value
e = ValueError('no')
if n > 100:
    raise e  # <- something other than a new exception
return x

# a generator that a with makes
with torch.no_grad():
    made = (y + 1 for y in [x * 2, x])
return [y * 2 for y in made]  # <- an iterator is kept or returned

# a pattern of parts
match (n, 1):
    case (3, k):  # <- this pattern has no form in a graph
        return x * k
return x
"""


@each(REFUSED)
def test_what_has_no_form_is_refused_with_its_line(refuses, body):
    refuses(body)
