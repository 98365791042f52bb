"""Methods of objects of the user's, and of sets, which have the names of methods of tensors."""

from source_rows import each

HEAD = """
class Tracker:
    def __init__(self):
        self.items = []
        self.total = 0
    def log(self, value):
        self.items.append(value)
    def exp(self):
        self.total += 10
        return self
    def max(self, value):
        self.items.append(value)
        return value
    def sum(self):
        self.total += 1
        return self.total
    def add(self, value):
        self.total += value
        return self
def made():
    return Tracker()
class Gives(nn.Module):
    def forward(self, x):
        return Tracker()
"""
ROWS = """
# the result of a method is not used
t = Tracker()
t.log(x)
return t.items

# several methods
t = Tracker()
t.exp()
a = t.sum()
t.sum()
t.add(4)
_ = t.max(5)
return a, t.total, t.items

# a method is called for its result, before the object is read
t = Tracker()
a = t.max(n)
items = [*t.items]
b = t.max(x)
return a, items, b, t.items

# the result is the object again
t = Tracker()
t.exp().add(n).max(1)
return t.total, t.items

# made by a function
t = made()
t.log(n)
return t.items

# one of two
t = Tracker() if on else made()
t.log(n)
return t.items

# in a loop
t = Tracker()
for i in range(n):
    t.log(i)
    _ = t.max(x + i)
return t.items

# in a list
ts = [Tracker() for i in range(n + 1)]
ts[n].log(x)
ts[0].log(n)
for t in ts:
    t.sum()
return [(t.items, t.total) for t in ts]

# in a dict
d = {'a': Tracker(), 'b': Tracker()}
d['a' if on else 'b'].log(x)
return d['a'].items, d['b'].items

# in a condition
t = Tracker()
n and t.log(n)
t.log(x) if on else t.exp()
return t.items, t.total

# given by a module
t = self.gives(x)
t.log(n)
return t.items

# a set
s = {1, 2}
_ = s.add(4)
s.add(n) if n else s.discard(1)
n and s.add(7)
return sorted(s)

# a set that is copied
s = {1, 2}
copied = s.copy()
_ = copied.add(n)
both = s | copied
_ = both.add(9)
return sorted(s), sorted(copied), sorted(both)

# a set that is an attribute
self.names.add(n)
_ = self.names.add(n + 1)
n and self.names.add(n + 2)
return sorted(self.names)

# an object that is an attribute is set anew
self.tracker = Tracker()
self.tracker.log(n)
_ = self.tracker.max(x)
return self.tracker.items

# a parameter with an annotation
| def note(self, t: Tracker, n):
|     t.log(n)
|     _ = t.max(n)
t = Tracker()
self.note(t, n)
return t.items
"""
INIT = {"gives": "self.gives = Gives()", "names": "self.names = {1}", "tracker": "self.tracker = 0"}


@each(ROWS)
def test_a_method_that_is_not_known_is_called_also_for_its_effect(reads, body):
    init = "\n".join(line for name, line in INIT.items() if f"self.{name}" in body)
    reads(body, head=HEAD, init=init)


def test_unused_results_of_tensors_are_left_out(reads, forward_of):
    text = reads("y = torch.cat([x, x])\ny.exp()\nz = x.log()\n_ = (x + 1).max()\nreturn y")
    assert forward_of(text) == "y = torch.cat([x, x])\nreturn y"
