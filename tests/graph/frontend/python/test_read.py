"""Whole methods: what is known holds as long as it does in Python, and effects keep their order."""

from source_rows import each

HEAD = """
def grow(lists, k):
    if k > 1:
        lists[0].append(k)
def grow_in(table, k):
    if k > 1:
        table['a'].append(k)
def same(ys):
    return ys
"""
ALIASES = """
# a list returned by a function
ys = [1]
zs = same(ys)
zs.append(n)
return x, ys, len(ys), ys == [1]

# a list in a loop over lists
ys, zs = [1], [2]
for each in (ys, zs):
    each.append(n)
return x, len(ys), zs

# a list by a loop variable after the loop
ys, zs = [1], [2]
for i in range(n):
    ys, zs = zs, ys
ys.append(5)
return x, ys, zs, len(ys), len(zs)

# a list in a dict by a loop
d = {'a': [1]}
ys = d['a']
for k, v in d.items():
    v.append(n)
return x, ys, len(ys)

# a list in a branch that raises
ys = [1]
if n > 100:
    ys.append(2)
    raise ValueError('no')
return x, ys, len(ys)

# a list by a lambda
ys = [1]
add = lambda v: ys.append(v)
if on:
    add(n)
return x, ys, len(ys)

# a list in a nested list by an item
ys = [[1], [2]]
zs = ys[0]
ys[0].append(n)
zs.append(5)
return x, ys, len(zs), len(ys[0])

# a list by walrus
if len(zs := (ys := [1])) > 0:
    zs.append(n)
return x, ys, len(ys)

# a list, and slices of it assigned
ys = [1, 2, 3]
zs = ys
zs[1:] = [n]
return x, ys, len(ys), ys == [1, n]

# a dict by another name in a loop
d = {}
e = d
for i in range(n):
    e[i] = x
return len(d), d == {}, x

# a default that is a list
def f(v, log=[]):
    log.append(v)
    return len(log)
return x, f(1), f(n)

# a module's table by another name
t = self.table
t['c'] = n
return x, len(self.table), 'c' in self.table

# a list in two ways
ys = [1]
zs = ys if on else [2]
zs += [n]
return x, ys, len(ys), sum(ys)

# a list of a list of unknown length
ys = [1]
both = [ys] * n
for each in both:
    each.append(2)
return x, ys, len(ys)

# a list given to a function of the graph
ys = [1]
grow([ys], n)
return x, ys, len(ys)

# a list given to a function in a dict
ys = [1]
grow_in({'a': ys}, n)
return x, ys, len(ys)

# a list in an item that is not known
ys, zs = [1], [2]
[ys, zs][n % 2].append(5)
return x, ys, zs, len(ys), len(zs)

# a dict in an item that is not known
d, e = {'a': 1}, {}
[d, e][n % 2]['b'] = 5
return x, d, e, len(d), 'b' in e

# a list in a loop over a list of lists
ys, zs = [1], [2]
for each in [ys, zs] * n:
    each.append(n)
return x, len(ys), zs

# a list in a zip
ys, zs = [1], [2]
for each, k in zip([ys, zs], x):
    each.append(n)
return x, len(ys), zs

# a list in an attribute
ys = []
self.none = ys
ys.append(n)
self.none.append(1)
return x, len(ys), self.none

# a list in an attribute, by a method
ys = []
self.none = ys
self.go(n)
return x, len(ys), ys
| def go(self, k):
|     self.none.append(k)

# a tuple of lists in a branch
a, b = [1], [2]
p = (a, b) if on else (b, a)
p[0].append(n)
return x, a, b, len(a), len(b)

# a list or None
ys = [1]
zs = ys if on else None
if zs is not None:
    zs.append(n)
return x, ys, len(ys)

# a list by and, or
ys = [1]
zs = ys or [2]
ws = on and ys
zs.append(n)
if ws:
    ws.append(3)
return x, ys, len(ys)

# a set by another name
s = {1}
t = s
t.add(n)
return x, s, len(s), n in s

# a set of numbers, updated
s = set()
s.update([1, n])
s.add(2)
return x, sorted(s), len(s)

# a set in a loop
s = set()
for i in range(n):
    s.add(i % 2)
return x, sorted(s)
"""
ORDER = """
# a known number and one that is not
a = True
a &= n == 3
b = 1
b += n
c = 'u'
c += f'{n}'
return x, a, b, c

# a known number and one that is not, in a loop
for i in range(2):
    a = True
    a &= n == 3
return x, a

# an attribute, before it is set
a = self.times
self.times = n
return x * a

# an attribute, before a method sets it
a = self.times
self.go()
return x * a, self.times
| def go(self):
|     self.times += 1

# an attribute in a tuple, before it is set
t = (self.times, self.scale)
self.times = n
return x, t

# an operation on an attribute, before it is set
a = self.times * 2
self.times = n
return x * a

# an attribute as an argument, and then set
a = [self.times, self.set(n), self.times]
return x, a
| def set(self, k):
|     self.times = k
|     return 1

# a list of an attribute, before it is replaced
a = self.sizes
self.sizes = [n]
a.append(5)
return x, a, self.sizes, len(a)

# a number of a tensor, before it changes
y = x.clone()
a = y.sum()
y += 1
return a, y

# a condition that was read before
a = self.none is None
self.none = n
return (x if a else -x), self.none

# a length that was read before
a = len(self.sizes)
self.sizes.append(n)
return x, a, len(self.sizes)

# a default of a nested function
def f(k=self.times):
    return k
self.times = n
return x, f()

# an effect in a condition
ys = [1, 2]
if ys.pop() == 2 and ys.pop() == n:
    x = -x
return x, ys

# the arguments of a call
log = []
def f(v):
    log.append(v)
    return v
t = torch.add(f(x), f(n), alpha=f(2))
return t, len(log), log

# a comparison evaluates from left to right
log = []
def f(v):
    log.append(v)
    return v
r = [f(2), f(1)] == [f(n), f(3)]
d = {f('a'): f(1)}
d[f('b')] = f(5)
return x, r, d, log

# known text that is a template
t = '{} and {{}}'
return x, f'{t}{n}', t.format(n), f'{n}{{}}' + t

# percent
return x, '%d%%' % n, '%(a)s' % {'a': n}, '%s %s' % (n, on)

# a buffer before it is replaced in a method
a = self.seen
self.go()
return x + a, self.seen
| def go(self):
|     self.seen = self.seen + 1

# a buffer before it is replaced in a branch
a = self.seen
if on:
    self.seen = a + 1
return x + a, self.seen

# a buffer by two names
a = self.seen
b = a + 0
self.seen = b + 1
a += 5
return x + a, self.seen
"""


@each(ALIASES)
def test_what_changes_under_one_name_is_known_to_have_changed_under_others(reads, body):
    reads(body, head=HEAD)


@each(ORDER)
def test_effects_come_in_the_order_of_python(reads, body):
    reads(body)
