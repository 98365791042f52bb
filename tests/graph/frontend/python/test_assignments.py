"""Assignments, and what they do to objects that have several names."""

import pytest
from source_rows import each

ROWS = """
# augmented on another name, which nothing needs
k = n
k //= 2
y = x
y += 1
return x, n

# augmented on an item, which nothing needs
ks = [n, 2]
k = ks[0]
k += 1
m = self.times
m *= 3
return x, ks, self.times

# augmented on another name in a loop
for i in range(3):
    x = x * n
    k = n
    k += i
return x

# to several names
y = z = x + 1
z += 1
return y, z

# to several numbers
a = b = n
b += 1
return x, a, b

# in pairs
a, b = x, x + 1
a, b = b, a
return a, b

# in nested pairs
(a, (b, c)), d = (x, (x + 1, n)), 2
return a, b, c, d

# to a list of names
[a, b] = x.split(1, 0) if len(x) == 2 else (x, x)
return a - b

# with a star in front
*a, b = x, n, 3
return a, b

# with a star between
a, *b, c = x, n, 3, 4
return a, b, c

# with a star at the end
a, *b = (x,)
b.append(a)
return b

# with a star, of a tensor
a, *b = x
return a, b

# with a star between, of a tensor
a, *b, c = x.T
return a, b, c

# of items of a tensor
a, b, c = x.unbind(1)
return a, b + c

# of a shape
rows, columns = x.shape
return x.reshape(columns, rows), rows

# of a text
a, b = 'uv'
return x, a + b

# of a dict
a, b = {'u': 1, 'v': 2}
return x, a, b

# of range
a, b = range(2)
return x + a, b

# of zip
(a, b), (c, d) = zip([x, n], [1, 2])
return a, b, c, d

# of map
a, b = map(lambda v: v + 1, (x, n))
return a, b

# annotated
y: torch.Tensor = x + 1
k: int
k = 2
return y * k

# to an item
y = x.clone()
y[0] = 1
y[:, 1] = n
y[..., -1] += 1
return y

# to an item of a list
ys = [x, x + 1]
ys[0] = ys[1] * 2
ys[-1] += 1
return ys

# to a slice of a list
ys = [1, 2, 3]
ys[1:] = [n]
return x, ys, len(ys), sum(ys)

# to an item of a dict
d = {'a': x}
d['b'] = n
d['a'] += 1
return d, x

# in a chain of items
d = {'a': [x]}
d['a'][0] = n
return d

# left to right
i, ys = 0, [1, 2]
i, ys[i] = 1, 5
return x, ys, i

# value before target
ys = [0]
ys[len(ys) - 1] = len(ys)
return x, ys

# walrus
if (y := x + 1).sum() > 0:
    y = y * 2
return y

# walrus in a call
return torch.cat([y := x + 1, y])

# walrus in a comprehension
z = [last := i + n for i in range(3)]
return x, z, last

# del of a name
y = x + 1
del y
y = x
return y

# del of an item
ys = [x, n, 3]
del ys[0]
return x, ys, len(ys)

# del of an entry
d = {'a': 1, 'b': x}
del d['a']
return d, len(d), 'a' in d

# one of a branch
if on:
    y = x
else:
    y = n
return y
"""
IN_PLACE = """
# a tensor has two names
y = x.clone()
z = y
z += 1
return y, z

# a number has one
a = n
b = a
b += 1
return x, a, b

# a float
a = b = 1.5
b *= 2
return x, a, b

# a text
a = b = 'u'
b += 'v'
return x, a, b

# a tuple
a = b = (x,)
b += (n,)
return a, b

# a list
a = b = [x]
b += [n]
return a, b, len(a)

# a list, by a tuple
a = [x]
a += (n, 2)
return a

# a list, times
a = b = [1, n]
b *= 2
return x, a, b, len(a)

# an argument
x += 1
return x * 2

# an argument that may be a number
n += 1
return x, n

# an item of a list
ys = [x.clone(), n]
y = ys[0]
ys[0] += 1
ys[1] += 1
return y, ys

# a view
y = x.clone()
z = y[0]
z += 1
return y

# a view by a loop
y = x.clone()
for row in y:
    row *= 2
return y

# a list in a list
a = [[n], [n]]
for each in a:
    each += [1]
return x, a

# rows that are one list
a = [[n]] * 2
a[0].append(1)
return x, a, len(a[1])

# in a branch
y = z = x.clone()
if on:
    y += 1
return y, z

# in a loop
y = z = x.clone()
for i in range(n):
    y += i
return y, z

# a number in a loop
a = b = 1
for i in range(n):
    b += i
return x, a, b

# one of two
y, z = x.clone(), x.clone()
w = y if on else z
w += 1
return y, z, w

# a tensor or a number
y = x.clone() if on else n
z = y
z += 1
return y, z

# a list of defaults
ys = list(self.sizes)
ys += [n]
return x, ys, len(self.sizes)

# a buffer
self.seen += x.sum(0)
self.seen[0] += 1
return x + self.seen

# a buffer by another name
s = self.seen
s += 1
return x + self.seen, s

# a buffer, anew
self.seen = self.seen + 1
return x + self.seen

# an attribute
self.scale += 1
return x * self.scale

# an item of an attribute
self.sizes[0] += n
return x, self.sizes[0], sum(self.sizes)

# a list, or another
a, b = [1], [2]
c = a if on else b
c.append(3)
return x, a, b, len(a)

# a set
s = t = {1, 2}
t |= {n}
return x, sorted(s), sorted(t)

# a dict
d = e = {'a': 1}
e |= {'b': x}
return d, len(d)

# a buffer, before and after
a = self.seen
self.seen = a + 1
return x + a + self.seen
"""
SIGNS = ["+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<", ">>"]


@each(ROWS)
def test_a_target_gets_what_python_gives_it(reads, body):
    reads(body)


@each(IN_PLACE)
def test_what_changes_in_place_changes_under_all_its_names(reads, body):
    reads(body)


@pytest.mark.parametrize("sign", SIGNS)
def test_augmented_assignment_is_that_of_the_object(reads, sign):
    number = {"@": "3", "**": "2"}.get(sign, "3")
    if sign in ["/", "**", "@"]:
        reads(f"y = x @ x.T\nz = y\nz {sign.replace('@', '*')}= {number}\nreturn y, z")
    else:
        reads(
            f"y = (x * 4).int()\nz = y\nz {sign}= {number}\na = b = n\nb {sign}= 3\nreturn y, a, b"
        )


def test_a_matrix_is_multiplied_anew(reads):
    reads("y = z = x @ x.T\nz @= y\nreturn y, z")


REFUSED = """
# a number of values that does not fit
a, b = x, 1, 2  # <- 3 values are unpacked into 2

# too few values for a star
a, *b, c = (x,)  # <- 1 values are unpacked into more

# an item of a tuple
y = x, n
y[0] = x  # <- it assigns an item of a tuple
"""
GLOBALS = ["NUMBERS.append(n)", "NUMBERS[0] = 2", "TABLE['c'] = n", "a = NUMBERS\na += [n]"]


@each(REFUSED)
def test_what_python_would_not_run_is_said(refuses, body):
    branch = "\n".join(f"    {line}" for line in body.splitlines())
    refuses(f"if on is None:\n{branch}\nreturn x")


@pytest.mark.parametrize("line", GLOBALS)
def test_what_exists_before_is_not_changed(refuses, line):
    why = "it changes a list or dict that exists before the model runs"
    refuses(f"{line}  # <- {why}\nreturn x", head="NUMBERS, TABLE = [1], {}\n")
