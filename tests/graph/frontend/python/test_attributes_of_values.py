"""Modules that are values: their attributes and methods, where it is not known which one it is."""

from source_rows import each

HEAD = """
class Scaled(nn.Module):
    kind = 'scaled'
    def __init__(self, k):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.k = k
        self.count = 0
        self.sizes = [k, k + 1]
    @property
    def twice(self):
        return self.k * 2
    def forward(self, x):
        return self.lin(x) * 2
    def helper(self, x, by=1):
        return self.lin(x) * self.k + by + self.other(x)
    def other(self, x):
        return x - self.sizes[0]
    def add(self, x):
        return x + self.k
    def counts(self):
        self.count += 1
        return self.count
class Other(Scaled):
    def helper(self, x, by=2):
        return super().helper(x, by) - 1
class Outer(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.inner = Scaled(k)
    def forward(self, x):
        return self.inner(x)
"""
INIT = """
self.a = Scaled(2)
self.b = Other(3)
self.blocks = nn.ModuleList([Scaled(4), Other(5)])
self.outers = nn.ModuleList([Outer(6), Outer(7)])
self.by_name = nn.ModuleDict({'one': Scaled(8), 'two': Other(9)})
"""
ROWS = """
# an attribute of one of two
m = self.a if on else self.b
return m(x) * m.k + m.sizes[1], m.kind

# an attribute of one in a list
return self.blocks[n % 2].k, self.blocks[n % 2](x)

# an attribute of a part of one in a list
return self.outers[n % 2].inner.k, self.outers[n % 2](x)

# an attribute of one by name
return self.by_name['one' if on else 'two'].k, x

# a layer's attribute
return self.blocks[n % 2].lin.out_features, self.blocks[n % 2].lin.weight * 2, x

# a method of one of two
m = self.a if on else self.b
return m.helper(x), m.helper(x, by=n), m.counts()

# a method of one in a list
return self.blocks[n % 2].helper(x)

# a method with the name of a tensor's
y = self.blocks[n % 2].add(x)
_ = self.blocks[n % 2].counts()
return y, self.blocks[0].count, self.blocks[1].count

# one of a new list
ms = [self.a, self.b, self.a]
return ms[n % 3].helper(x)

# a list that grows
ms = [self.a]
ms.append(self.b)
ms.insert(0, self.b)
k = len(ms)
for i in range(n):
    ms.append(self.a)
return ms[n % 3].helper(x), k, len(ms), ms.index(self.a)

# a dict of modules
by = {'a': self.a, 'b': self.b}
by.update(c=self.a)
return by['a' if on else 'b'].helper(x), by['c'].k

# one from a loop
m = self.a
for i in range(n):
    m = self.b
return m.helper(x), m.k

# an attribute that one does not have
m = self.outers[0] if on else self.a
return m.k if hasattr(m, 'k') else x

# an attribute is set
self.blocks[n % 2].k = n
return self.blocks[0].k, self.blocks[1].k

# an attribute is counted
(self.a if on else self.b).count += 1
return self.a.count, self.b.count, self.a.counts()

# the whole forward
m = self.a if on else self.b
return m.forward(x)
"""


@each(ROWS)
def test_all_modules_that_a_value_may_be_keep_what_is_read(reads, body):
    reads(body, head=HEAD, init=INIT)


REFUSED = """
# a property
m = self.a if on else self.b
return m.twice * x  # <- it reads 'twice' of a module that is known when the model runs

# a method of every module
m = self.a if on else self.b
return x, len([*m.parameters()])  # <- it reads 'parameters' of a module that is known when
"""


@each(REFUSED)
def test_what_not_every_module_can_keep_is_refused_with_its_line(refuses, body):
    refuses(body, head=HEAD, init=INIT)
