"""Loops: as loops of the graph, and iteration by iteration where it matters what is known."""

import pytest
from source_rows import each

ROWS = """
# over a range
for i in range(n):
    x = x + i
return x

# over a range with start and step
for i in range(1, 6, 2):
    x = x + i
return x

# backwards
for i in range(n, 0, -1):
    x = x * i
return x

# over rows
out = []
for row in x:
    out.append(row * 2)
return torch.stack(out)

# over a known list
for size in self.sizes:
    x = x + size
return x

# over a list of pairs
for a, b in self.pairs:
    x = x * a + b
return x

# over a tuple
for y in (x, n, 2):
    x = x + y
return x

# over a text
s = ''
for c in self.word:
    s = c + s
return x, s

# over a dict
for k, v in self.table.items():
    x = x + v * len(k)
return x

# over keys
ks = ''
for k in self.table:
    ks += k
return x, ks

# over a dict that is made
d = {'a': x, 'b': n}
y = 0
for k in d:
    y = y + d[k]
return y

# over modules
for layer in self.layers:
    x = layer(x)
return x

# over some modules
for layer in self.layers[1:]:
    x = layer(x)
return x

# over modules with their number
for i, layer in enumerate(self.layers):
    x = layer(x) + i
return x

# over named modules
for name, layer in self.named.items():
    x = layer(x)
    if name == 'one':
        x = x + 1
return x

# over children
for m in self.children():
    x = x + len(m)
return x, self.layers[0](x)

# over modules, backwards
for layer in reversed(self.layers):
    x = layer(x)
return x

# over modules and numbers
for layer, size in zip(self.layers, self.sizes):
    x = layer(x) * size
return x

# over modules, asking
for layer in self.layers:
    if isinstance(layer, nn.Linear):
        x = layer(x)
return x

# over enumerate
for i, y in enumerate([x, x + 1], 2):
    x = x + y * i
return x

# over zip of tensors
ys = []
for a, b in zip(x, x + 1):
    ys.append(a * b)
return ys

# over sorted
for k in sorted([3, n, 2]):
    x = x * 2 + k
return x

# over a set
t = 0
for k in {n, 5}:
    t += k
return x, t

# break
for i in range(10):
    if i == n:
        break
    x = x + i
return x, i

# break in the middle
for i in range(10):
    x = x + 1
    if x.sum() > 10:
        break
    x = x * 1.5
return x

# continue
for i in range(5):
    if i == n:
        continue
    x = x + i
return x

# break and continue
for i in range(8):
    if i % 2:
        continue
    if i > n:
        break
    x = x + i
return x

# else
for i in range(4):
    if i == n:
        break
else:
    x = -x
return x

# else without break
for i in range(n):
    x = x + i
else:
    x = -x
return x

# else with continue
for i in range(4):
    if i == 2:
        continue
    if i == n:
        break
else:
    x = -x
return x

# else of while
i = 0
while i < 4:
    i += 1
    if i == n:
        break
else:
    x = -x
return x, i

# return
for i in range(4):
    x = x + 1
    if i == n:
        return x
return -x

# return of another kind
for i in range(4):
    if i == n:
        return x, i
return None

# return in a loop in a loop
for i in range(3):
    for j in range(3):
        x = x + j
        if i * j == n:
            return x
    x = x * 2
return -x

# break in a loop in a loop
for i in range(3):
    for j in range(3):
        if j == n:
            break
        x = x + j
    else:
        x = x * 2
        continue
    break
return x

# return in with in a loop
for i in range(4):
    with torch.no_grad():
        x = x + i
        if i == n:
            return x
return -x

# return over modules
for i, layer in enumerate(self.layers):
    x = layer(x)
    if i == n:
        return x
return -x

# break over modules
for i, layer in enumerate(self.layers):
    if i == n:
        break
    x = layer(x)
else:
    x = x + 1
return x

# continue over modules
for i, layer in enumerate(self.layers):
    if i == n:
        continue
    x = layer(x)
return x

# break of what is known
for i, layer in enumerate(self.layers):
    if i == self.times:
        break
    x = layer(x)
return x

# while
i = 0
while i < n:
    x = x + i
    i += 1
return x

# while of a tensor
while x.sum() < 20:
    x = x * 2 + 1
return x

# while True
i = 0
while True:
    x = x + i
    i += 1
    if i > n:
        break
return x

# while with return
while True:
    x = x + 1
    if x.sum() > 20:
        return x

# while of what is known
i = 0
while i < len(self.layers):
    x = self.layers[i](x)
    i += 1
return x

# while with continue
i = 0
while i < 6:
    i += 1
    if i == n:
        continue
    x = x + i
return x

# while that takes from a list
ys = [x, n, 2]
s = 0
while ys:
    s = s + ys.pop()
return s

# while that takes from a list that is not known
ys = [x] * n
s = 0
while ys:
    s = s + ys.pop()
return s

# a variable of the loop after it
for i in range(3):
    y = x * i
return y, i

# a variable of another type each time
y = 1
for i in range(n):
    y = [y]
return x, y

# swapped
a, b = x, x + 1
for i in range(n):
    a, b = b, a + b
return a, b

# a variable set in the first round
y = None
for i in range(n):
    y = x if y is None else y + 1
return x, y

# a list
ys = []
for i in range(n):
    ys.append(x + i)
return ys, len(ys)

# a list in known rounds
ys = []
for i in range(3):
    ys.append(x + i)
return ys, len(ys), ys[1]

# a list by another name
ys = []
zs = ys
for i in range(n):
    zs.append(i)
return x, ys, len(ys), ys == []

# a list in a list
ys = [[], []]
for i in range(n):
    ys[0].append(i)
return x, ys, len(ys[0])

# a dict
d = {}
for i in range(n):
    d[i] = x + i
return d, len(d), 0 in d

# a nested list
out = []
for i in range(2):
    row = []
    for j in range(n):
        row.append(x * i + j)
    out.append(row)
return out

# the index changed
for i in range(3):
    i = i * 2
    x = x + i
return x, i

# a range that changes
k = n
for i in range(k):
    k += 1
    x = x + i
return x, k

# in a branch
if on:
    for i in range(n):
        x = x + i
else:
    for i in range(2):
        x = x - i
return x

# a branch in it
for i in range(n):
    if i % 2 == 0:
        x = x + i
    elif on:
        x = x - i
return x

# raise in it
for i in range(5):
    if i > n:
        raise ValueError(f'{i}')
    x = x + i
return x

# a function in it
fs = []
for i in range(3):
    def f(y, i=i):
        return y + i
    x = f(x)
return x

# an item by the index
for i in range(len(x)):
    x[i] = x[i] * i
return x

# modules by the index
for i in range(len(self.layers)):
    x = self.layers[i](x)
return x

# modules by an index that is not known
for i in range(min(n, 3)):
    x = self.layers[i](x)
return x

# a known table by the index
for i in range(3):
    x = x * self.sizes[i]
return x

# a long one
for i in range(1000):
    x = x + i
return x

# iter and next
it = iter([x, n])
return next(it), next(it)

# a star in it
for a, *rest in [(x, 1, 2), (n, 3)]:
    x = x + a + sum(rest)
return x

# an attribute as target
for self.times in range(3):
    x = x + self.times
return x, self.times

# an item as target
ys = [0]
for ys[0] in range(3):
    x = x + ys[0]
return x, ys

# over enumerate from a number that is not known
for i, y in enumerate([x, n], start=n):
    x = x + y * i
return x

# over nested enumerate
for i, (a, b) in enumerate(zip(x, x + 1)):
    x = x + a * b + i
return x

# while and an assigned condition
i = 0
while (i := i + 1) < n:
    x = x + i
return x, i

# a list that grows while it is read
ys = [1]
for y in ys:
    if len(ys) < 4:
        ys.append(y + 1)
return x, ys

# a known list whose later items are set while it is read
ys = [x, x + 1, x + 2]
for i, y in enumerate(ys):
    y = self.layers[i](y)
    if i < 2:
        ys[i + 1] = ys[i + 1] + y
return ys

# a list whose later items are set while it is read with modules
ys, zs = [x, x + 1, x + 2], []
for i, (y, layer) in enumerate(zip(ys, self.layers)):
    zs.append(layer(y))
    if i < 2:
        ys[i + 1] = ys[i + 1] + zs[-1]
return zs, ys

# a dict whose values are set while it is read
table = {'a': x, 'b': x + 1}
for name, y in table.items():
    table['b'] = y * 2
return table

# zip of fewer than there are layers
return [layer(x) for _, layer in zip(range(n), self.layers)]

# zip of fewer than there are layers, in a loop that may be left
for i, layer in zip(range(n), self.layers):
    x = layer(x)
    if x.sum() > 4:
        break
return x

# zip of layers and the values of a dict
table = {k: x for k in ('a' * n, 'b', 'c', 'd')}
for layer, y in zip(self.layers, table.values()):
    x = layer(x) + y
return x

# strict zip
for size, layer in zip(self.sizes, self.layers, strict=True):
    x = layer(x) * size
return x

# a zip that is used up
ys = zip(self.sizes, (x, -x, x * 2))
a = [y * k for k, y in ys]
return a

# a generator that computes late
scale = 2
ys = (y * scale for y in x)
scale = 10
return sum(ys)

# a map that computes late
scale = 2
ys = map(lambda y: y * scale, x)
scale = 10
return list(ys)

# a list that changes before it is filtered
ys = [1, 2, n]
kept = filter(lambda y: y > 1, ys)
ys.append(7)
return x, list(kept)

# variables of a comprehension hide none of a function
t = 2
def f(v):
    return v * t
return [f(t) for t in range(n)], [f(t) for t in self.sizes], t, x

# a dict that a nested function changes
stats = {}
def track(name, t):
    stats[name] = stats.get(name, 0) + t.mean()
    return t
for i in range(n):
    x = track('h', x + i)
return x, stats

# a list that a nested function changes
ys = [x]
def push(y):
    ys.append(y + len(ys))
for i in range(n):
    push(x * i)
return ys

# a list of one of two ways that a loop extends
ys = [x]
if x.sum() > 0:
    k = ys
else:
    k = [x, x]
for i in range(2):
    k.append(self.layers[i](x))
return len(ys), k

# a range used twice
steps = range(n)
y = [x * i for i in steps]
z = [x + i for i in steps]
return y, z, len(steps)

# setting the item taken
ys = list(x.unbind(1))
for i, y in enumerate(ys):
    ys[i] = y * n
return torch.stack(ys)

# setting the item taken, of one of two
ys, zs = list(x.unbind(1)), list(x.unbind(1))
for i, (y, z) in enumerate(zip(ys, zs)):
    ys[i] = y * n + z
return torch.stack(ys)

# setting values of a dict
table = {k: x for k in ('a' * n, 'b')}
for name in table:
    table[name] = table[name] + len(name)
for name, y in table.items():
    table[name] = y * 2
return table

# else after return
for i in range(4):
    if i == n:
        return x
else:
    x = -x
return x * 2

# else after return and break
for i in range(5):
    if i == n:
        return x + i
    if x.sum() + i > 4:
        x = x - 1
        break
else:
    x = -x
    x = x * 3
return x * 2

# else that returns
for i in range(n):
    if i == 3:
        return x
    if x.sum() + i > 4:
        break
else:
    if on:
        return -x
    x = x + 1
return x * 2

# else after return in while
i = 0
while i < n:
    i += 1
    if i == 3:
        return x + i
    if x.sum() > 4:
        break
else:
    x = -x
return x * i

# else after return in a loop that is evaluated now
for layer in self.layers:
    x = layer(x)
    if x.sum() > n:
        return x
    if x.sum() < -n - 3:
        break
else:
    x = -x
return x * 2

# else after return in a loop inside another
for j in range(3):
    for i in range(j):
        if i == n:
            return x
        if j == n + 1:
            break
    else:
        x = x * 2
        if j == n + 2:
            break
    x = x + j
return x

# else that goes on with the loop around
for j in range(4):
    for i in range(j):
        if i + j == n + 2:
            return x + 5
        if on:
            break
    else:
        x = x * 2
        continue
    x = x + j
else:
    x = x - 7
return x
"""


@each(ROWS)
def test_a_loop_does_what_it_does_in_python(reads, body):
    reads(body)


AS_WRITTEN = [
    "for i in range(n):\n    if i == 2:\n        continue\n    x = x + i\nreturn x",
    "for layer in self.layers:\n    x = layer(x)\nreturn x",
    "while x.sum() < 20:\n    x = x * 2 + 1\nreturn x",
    "for i in range(4):\n    if i == n:\n        return x\n    x = x + i\nreturn -x",
    "for a, b in zip(x, x + 1):\n    x = x + a * b\nreturn x",
]  # fmt: skip


@pytest.mark.parametrize("body", AS_WRITTEN)
def test_source_reads_as_one_would_write_it(reads, forward_of, body):
    assert forward_of(reads(body)) == body


REFUSED = """
# an iterator that is used up
ys = zip(self.sizes, x.unbind(1))
a = [y * k for k, y in ys]
b = [y + k for k, y in ys]  # <- ys is an iterator, which may be used up; make a list of it
return a, b

# a map that is used up
ys = map(torch.sin, x)
a = list(ys)
return a, len(list(ys))  # <- ys is an iterator, which may be used up; make a list of it

# a generator that is kept
table = {'a': (y * n for y in x)}  # <- an iterator is kept or returned; make a list of it
return list(table['a'])

# a zip in a loop
ys = zip(self.sizes, x.unbind(1))
while n > 0:
    n = n - 1
    x = x + sum([k for k, _ in ys])  # <- ys is an iterator, which the loop uses up
return x

# a strict zip of what is not known
for size, row in zip(self.sizes, x.unbind(1), strict=True):  # <- not known to be as long
    x = row * size
return x

# setting rows of a tensor that are read later
y = x.clone()
for i, row in enumerate(y):
    y[(i + 1) % len(y)] = row * n  # <- it changes a list that the loop iterates over
return y

# a list whose later items are set while it is read
ys = list(x.unbind(1))
for i, y in enumerate(ys):
    ys[(i + 1) % 3] = y * n  # <- it changes a list that the loop iterates over
return torch.stack(ys)
"""


@each(REFUSED)
def test_a_loop_without_a_form_is_refused_with_its_line(refuses, body):
    refuses(body)
