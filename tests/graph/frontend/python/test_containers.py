"""Tuples, lists, dicts, sets, comprehensions, items and texts."""

import pytest
from source_rows import each

ROWS = """
# a tuple
return x, (n, (x, [n])), ()

# a list
ys = [x, n]
return ys, [], [[x]]

# a dict
return {'a': x, n: 1, (1, 2): {}, None: []}

# a dict, by a computed key
d = {n: x}
return d[n], n in d, d.get(7), len(d)

# a set
return x, {n, 1, 1}, len({n, 1}), {1, 2}, n in {1, 2}

# a star in a list
ys = [x, n]
return [*ys, 1, *ys], [*x], [*self.sizes, n]

# a star in a tuple
ys = [x, n]
return (*ys, 1), (*x, n, *x)

# a star in a set
return x, {*self.sizes, n}, {*'ab'}

# stars in a dict
d = {'a': x, 'b': 1}
return {**d, 'b': n, **{'c': 2}}, {**self.table, 'z': n}

# a dict on a dict
return {'a': x} | {'b': n}, self.table | {'b': n}

# a list comprehension
return [row * i for i, row in enumerate(x)]

# with a condition
return x, [i for i in range(6) if i % 2 if i != n]

# nested
return x, [i * j for i in range(n) for j in range(i)], [[i + j for j in range(2)] for i in range(n)]

# with a condition between
return x, [(i, j) for i in range(n) if i != 1 for j in range(i) if j]

# over modules
return [layer(x) for layer in self.layers]

# over some modules
return [layer(x) for layer in self.layers if isinstance(layer, nn.Linear)]

# over named modules
return {name: layer(x) for name, layer in self.named.items()}

# over modules and inputs
return torch.stack([f(y) for f, y in zip(self.layers, [x, x + 1, x + 2])])

# a dict comprehension
return {str(i): x * i for i in range(n)}, {k: v for v, k in enumerate('ab')}

# a dict comprehension of a dict
d = {'a': x, 'b': n}
return {k + '!': v * 2 for k, v in d.items() if k != 'c'}

# a set comprehension
return x, {i % 2 for i in range(n)}, {i % 2 for i in self.sizes}

# a generator in a call
return sum(row * 2 for row in x), max(i for i in self.sizes), any(i > n for i in self.sizes)

# a generator in join
return x, ', '.join(str(i) for i in range(n)), '-'.join(['a', self.word])

# a generator in tuple, list, dict
return tuple(r for r in x), list(i for i in range(n)), dict((i, x) for i in range(n))

# all and any
return x, all(i < n for i in self.sizes), any([]), all([on, n]), any(r.sum() > 0 for r in x)

# a comprehension hides its variable
i = 7
ys = [i for i in range(3)]
return x, ys, i

# a comprehension reads around it
k = n + 1
ys = [i * k for i in range(3)]
k = 0
return x, ys

# a comprehension in a branch
ys = [x * i for i in range(3)] if on else [x for _ in range(n)]
return ys, len(ys)

# a dict comprehension evaluates keys first
k = 100
log = []
def f(v):
    log.append(v)
    return v
a = {(k := i + 1): k for i in range(3)}
b = {f(i): f(i * 10) for i in range(2)}
c = {f(-i): f(i * 10) for i in [n, n + 1] if i}
return x, a, b, c, log, k

# an item by the name of its method
d, ys = {'a': 1}, [1, 2]
d.__setitem__('b', n)
ys.__setitem__(0, n)
return x, d['b'], ys[0], len(d), d, ys

# a comprehension with effects
log = []
ys = [log.append(i) for i in range(n)]
return x, ys, log, len(log)

# slices
return (
    x[0], x[:1], x[:, 1:], x[..., 0], x[:, None], x[::2], x[:, -n:],
    x[0, ::-1].numel() if on and 0 else 0,
)

# slices by variables
i, j = n % 2, -1
return x[i - 1:j], x[..., i:], x[:, [0, i]], x[x > 0], x[i - 1, :]

# an index that is a tensor
return x[:, torch.tensor([0, 2])], x[torch.arange(len(x)) > 0], x.T[n % 3]

# an index that is a slice
s = slice(0, n)
return x[:, s], x[s], self.sizes[s]

# an index that is a tuple
i = (0, n % 3)
return x[i], x[(0,)], x[0, ...]

# items of a list
ys = [x, n, 3]
return ys[0], ys[-1], ys[1:], ys[::-1], ys[n % 3], ys[:-n], ys[-1:]

# items of a tuple
ys = (x, n, 3)
return ys[0], ys[-1], ys[1:], ys[::-1], ys[n % 3]

# items of a known list
return x, self.sizes[0], self.sizes[-1], self.sizes[n % 3], self.sizes[1:], self.pairs[1][0]

# items of a known dict
return x, self.table['a'], self.table.get('z'), self.table.get('z', n), self.table['ab'[n % 2]]

# items of a dict
d = {'a': x, 'b': n}
return d['a'], d['b'], d.get('c'), d.get('c', 1), d['ab'[n % 2]]

# items of a text
return x, self.word[0], self.word[n % 4], self.word[1:], self.word[::-1]

# items of a shape
return x, x.shape[0], x.shape[-1], x.shape[:1], x.size(1), x.shape[1:] == (3,)

# an index that is not there
ys = [x]
return ys[n]

# an entry that is not there
return x, {'a': x}['b' if on else 'a']

# methods of lists
ys = [3, 1, n]
ys.append(4)
ys.extend([5, 6])
ys.insert(1, 7)
ys.remove(3)
ys.reverse()
return x, ys, ys.index(n), ys.count(1), ys.copy(), len(ys)

# pop
ys = [x, n, 3, 4]
a, b = ys.pop(), ys.pop(0)
return a, b, ys, len(ys), ys[-1]

# pop at a variable
ys = [1, 2, 3, 4, 5]
a = ys.pop(n)
return x, a, ys, len(ys)

# sort
ys = [3, n, 2]
ys.sort()
zs = sorted(ys, reverse=True)
return x, ys, zs, ys[0]

# clear
ys = [x]
zs = ys
ys.clear()
return ys, zs, len(zs), not ys

# del of a slice
ys = [1, n, 3, 4]
del ys[1:3]
return x, ys, len(ys)

# methods of dicts
d = {'a': x}
d.update(b=n)
d.update({'c': 1})
d.setdefault('d', [])
e = d.pop('a')
return d, e, len(d), list(d), 'a' in d, d.copy()

# views of dicts
d = {'a': x, 'b': n}
return list(d.keys()), list(d.values()), list(d.items()), [*d], sorted(d), len(d.items())

# methods of texts
return (
    x, self.word.upper(), self.word.split('a'), self.word.startswith('h'), f'{n}'.zfill(3),
    self.word.replace('h', 'c'),
)

# methods of numbers
return x, n.bit_length(), (1.5).is_integer(), self.scale.hex()

# copies
ys = [x]
zs, ws = list(ys), ys[:]
ys.append(n)
return ys, zs, ws, len(zs), len(ws)

# one list twice
ys = [n]
zs = [ys, ys]
zs[0].append(1)
return x, zs, len(zs[1])

# a list held by a dict
ys = []
d = {'a': ys}
d['a'].append(x)
ys.append(n)
return d, len(ys), len(d['a'])

# a list held by a tuple
ys = []
t = (ys, 1)
t[0].append(x)
return t, len(ys)

# a list got from a dict
d = {'a': [1]}
ys = d.get('a')
ys.append(n)
return x, d, len(d['a'])

# a list set by default
d = {}
for i in range(4):
    d.setdefault(i % 2, []).append(i)
return x, d, len(d[0])

# a list compared
ys = [1, 2]
zs = ys
ys.append(3)
return x, ys == [1, 2, 3], ys is zs, ys == [1, n], zs != ys

# a list of an attribute
ys = self.sizes
return x, ys[0], len(ys), ys + [n], sum(ys), ys == [1, 2, 3]

# a list that a branch replaces
ys = [1]
if on:
    ys = ys + [n]
ys.append(5)
return x, ys, len(ys)

# enumerate
return list(enumerate([x, n], 1)), list(enumerate(x))

# map and filter
return list(map(lambda v: v * 2, [x, n])), list(filter(None, [n, 0, 1])), list(map(str, self.sizes))

# min, max, sum
return (
    x, min(n, 2), max([n, 2]), sum(self.sizes), sum([n, 1], 2), min(x.shape),
    max(self.sizes, default=0),
)

# sum of tensors
return sum([x, x + 1]), sum(layer(x) for layer in self.layers)

# reversed
return x, list(reversed([1, n])), [*reversed(range(n))], list(reversed(self.sizes))

# range
return x, list(range(n)), list(range(1, n)), len(range(0, n, 2)), range(3)[1], tuple(range(3))

# abs, round, divmod, pow
return x, abs(-n), round(n / 3, 2), divmod(n, 2), pow(2, n), round(2.5), int('7'), float(n)

# conversions
return (
    x, str(n), int(on), float('1.5'), bool([]), list('ab'), tuple([n]), set([1]), dict(a=n),
    bool(n), repr(self.word),
)

# an f-string
return (
    x, f'{n} of {self.times}: {on}', f'{{}}',
    f'{n:03d}|{self.scale:.2f}|{n!r:>5}|{self.word!r}|{n:>{self.times + 3}}',
)

# an f-string that is known
return x, f'{self.word!r:>8}', f'{self.scale:.3f}', f'{self.times=}'

# an f-string with a nested one
return x, f"{'a' if on else f'{n}b'}", f'{n + 1}{self.word.upper()}', f'{n=}'

# an f-string, and its order
ys = [1, 2]
return x, f'{ys.pop():{ys.pop()}d}', ys, f'{n:{n + 1}.{2}f}'

# an f-string of a tensor's shape
return x, f'{x.shape} {x.dtype} {tuple(x.shape)}'

# an f-string with braces
return x, f'{{{n}}}', f'{n}%', f'{n:%}', f'{{n}}', '{' + f'{n}'

# format
return x, '{} {:>3} {a!r}'.format(n, on, a=self.word), '%s-%d' % ('a', n), '{0}{0}'.format(n)

# a named tuple
p = Point(x, b=n)
q = p._replace(b=1)
a, b = q
return p.a, p[1], q, a, b, len(p), p._fields

# a dataclass
c = Config(n)
return x * c.width, c.depth, c.width + c.depth

# a dataclass that is changed
c = Config(n)
c.depth += 1
c.width = 2
return x, c.depth, c.width

# an enum
return x, Kind.A.value, Kind.A is Kind.B, Kind['A'] == Kind.A, Kind.B.name, Kind(2) is Kind.B

# a slice of a tensor with steps
return x[:, ::2], x[:, 0:n:2]

# ellipsis
y = x[None]
return y[..., 0], y[0, ..., 1:], y[...] is None

# a view follows its dict
d = {'a': x}
ks = d.keys()
d['b'] = n
return list(ks), len(ks)

# methods of sets
s = {1, n}
s.add(5)
s.discard(1)
return x, sorted(s), s - {5}, s | {7}, s & {5}, 5 in s

# zip
return list(zip([x, n], [1, 2])), [*zip(self.sizes, 'abc')], dict(zip(['a', 'b'], x))

# zip of different lengths
return x, list(zip([1, 2, 3], [n, 4])), list(zip(range(n), 'ab'))

# dicts in a dict that are not known item by item
d = {k: n for k in ['a', 'b'] * (n + 1)}
e = {k: x for k in ['b', 'c'] * n}
return {**d, 'c': 1}, {'b': 1, **d}, {**d, **e}, {'z': 0, **d, 'a': 1, **self.table, **e, 'b': 5}

# a copy of a dict that is not known item by item
d = {k: n for k in ['a', 'b'] * (n + 1)}
e = {**d}
d['q'] = 5
return x, e, d

ns = [n, -2] * (n + 1)
return x, max(*map(abs, ns)), [*map(str, ns)], (*map(abs, ns), n), [n, *map(lambda v: v + n, ns)]

# a map of several sequences that is spread
ns = [n, -2] * (n + 1)
return x, [*map(max, ns, ns[1:])], {*map(abs, ns)}

# an enumeration or a list
ns = [n, -2] * (n + 1)
m = enumerate(ns, 2) if on else ns
return x, list(m)
"""
HEAD = """
class Point(NamedTuple):
    a: torch.Tensor
    b: int = 1
@dataclass
class Config:
    width: int
    depth: int = 2
class Kind(enum.Enum):
    A = 1
    B = 2
"""


@each(ROWS)
def test_what_holds_others_holds_what_it_holds_in_python(reads, body):
    reads(body, head=HEAD)


AS_WRITTEN = [
    'return x, f"{n} of {on!r:>5}"',
    "return x[:, 1:], x[..., 0], x[:, None], x[n:]",
]


@pytest.mark.parametrize("body", AS_WRITTEN)
def test_source_reads_as_one_would_write_it(reads, forward_of, body):
    assert forward_of(reads(body)) == body


REFUSED = """
# views of known dicts
a = list(self.table.keys()), sum(self.table.values()), max(self.table.items(), key=lambda p: p[1])
return x, a, torch.is_tensor(self.table.items())  # <- builtins.dict_items cannot be written
"""


@each(REFUSED)
def test_what_cannot_be_written_is_refused_with_its_line(refuses, body):
    refuses(body)
