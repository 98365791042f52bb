"""Attributes of modules: read, set, asked for, and those of children and of the class."""

from source_rows import each

ROWS = """
# plain
return x * self.scale, self.word, self.none, self.flag, self.times

# a list
return x * self.sizes[1], len(self.sizes), self.sizes[n % 3]

# a parameter and a buffer
return x * self.weight + self.seen

# of a child
return x @ self.lin.weight + self.lin.bias, self.lin.in_features * n

# of a child in a list
return self.layers[0].weight, x, self.layers[-1].out_features

# None
return x if self.none is None else self.none(x)

# of a tensor
return x.shape, x.ndim, x.dtype == torch.float32, x.device.type, x.T, x.requires_grad

# data of a parameter
self.weight.data.mul_(2)
return x * self.weight

# set
self.times = n
return x * self.times

# set twice
self.times = n
self.times = self.times + 1
return x * self.times

# set in a branch
if on:
    self.times = n
return x * self.times

# set in a loop
for i in range(n):
    self.times = self.times + i
return x * self.times

# set and read before
y = self.times
self.times = n
return x * y + self.times

# set to a tensor
self.none = x
return self.none + 1

# set, and asked for
if self.none is None:
    self.none = x * 2
return self.none + x

# set to a tuple
self.none = (x, n)
return self.none[0] + self.none[1]

# set to a list
self.none = [x]
self.none.append(n)
return self.none, len(self.none)

# a new one
self.new = x * 2
return self.new + 1

# a new one, if there is none
if not hasattr(self, 'new'):
    self.new = n
return x * self.new

# a new one, got with a default
k = getattr(self, 'new', 5)
self.new = n
return x * k + self.new

# a new one in a branch
if on:
    self.new = n
return x * getattr(self, 'new', 1)

# by setattr
setattr(self, 'times', n)
return x * getattr(self, 'times')

# of a child, set
self.lin.note = n
return self.lin(x) * self.lin.note

# of a child, set if there is none
if not hasattr(self.lin, 'note'):
    self.lin.note = n
return self.lin(x) * self.lin.note

# a list that is changed
self.sizes.append(n)
return x, self.sizes[-1], len(self.sizes), sum(self.sizes)

# a list that is changed by another name
ys = self.sizes
ys.append(n)
return x, len(self.sizes), self.sizes is ys

# a list that is changed in a branch
if on:
    self.sizes.append(n)
return x, len(self.sizes)

# a list that is replaced
self.sizes = [n]
return x, self.sizes, len(self.sizes)

# a list that is looped over and changed
t = 0
for k in self.sizes:
    t += k
self.sizes.append(n)
return x, t

# a dict that is changed
self.table['c'] = n
return x, self.table, 'c' in self.table, len(self.table)

# a dict as a cache
if n not in self.table:
    self.table[n] = x * 2
return self.table[n] + x

# a dict in a list
self.pairs.append((n, 1.0))
return x, [a for a, _ in self.pairs]

# a counter
self.times += 1
return x * self.times

# a counter in a method
self.count()
self.count()
return x * self.times
| def count(self):
|     self.times += 1

# a buffer in place
self.seen.add_(x.sum(0))
self.seen[0] = n
self.seen.mul_(2)
return x + self.seen

# a buffer with copy_
with torch.no_grad():
    self.seen.copy_(x.mean(0))
return x + self.seen

# a buffer in training alone
if self.training:
    self.seen += 1
return x + self.seen

# a buffer by name
getattr(self, 'seen').add_(n)
return x + getattr(self, 's' + 'een')

# a private one
return x * self.__k
| __k = 3

# a private one that is set
self.__k = n
return x * self.__k

# of the class
return x * self.K + M.K + type(self).K + self.__class__.K
| K = 3

# of the class, then of the object
k = self.K
self.K = n
return x * k + self.K
| K = 3

# a property
return x * self.p
| @property
| def p(self):
|     return self.times * 2

# a property with a branch
return x * self.p
| @property
| def p(self):
|     if self.training:
|         return 1
|     return self.times * 2

# a named child
return self.named.one(x) + self.named['one'](x), 'two' in self.named, list(self.named)

# parameters
return x, sum(p.sum() for p in self.lin.parameters()), len(list(self.parameters()))

# named parameters
return (
    x, [name for name, _ in self.lin.named_parameters()],
    dict(self.lin.named_parameters())['weight'].sum(),
)

# modules
return x, len(list(self.layers.modules())), [type(m).__name__ for m in self.layers.children()]

# get_submodule
y = self.lin(x)
return self.get_submodule('lin')(y)

# a dtype
return x.to(self.kind), torch.zeros(2, dtype=self.kind)

# a function
return self.act(x) + self.part(x)

# a config
return x * self.config.width, self.config.deep['a'], self.config.sizes[n % 2]

# an enum
return x if self.kind_ is Kind.A else -x

# a module that is None
if self.none is not None:
    x = self.none(x)
return x

# a slice of modules
return self.layers[:2][0](x), len(self.layers[1:]), nn.ModuleList([self.lin])[0](x)

# in a list of modules
for m in [self.lin, *self.layers]:
    x = m(x)
return x

# a device of a parameter
return x.to(next(self.lin.parameters()).device), next(iter(self.lin.parameters())).dtype is x.dtype
"""
HEAD = """
from types import SimpleNamespace
class Kind(enum.Enum):
    A = 1
"""
INIT = {
    "self.kind_": "self.kind_ = Kind.A\n",
    "self.kind)": "self.kind = torch.float64\n",
    "self.act": "self.act, self.part = torch.relu, functools.partial(torch.mul, other=2)\n",
    "self.config": "self.config = SimpleNamespace(width=3, deep={'a': 1}, sizes=(1, 2))\n",
    "self.__k": "self.__k = 2\n",
}


@each(ROWS)
def test_an_attribute_is_what_it_is_in_python(reads, body):
    init = "".join(text for use, text in INIT.items() if use in body)
    reads(body, head=HEAD, init=init)


REFUSED = """
# training
self.training = False  # <- it sets self.training, on which the structure of the model depends
return x

# a child
self.lin = self.layers[0]  # <- it sets self.lin, on which the structure of the model depends
return self.lin(x)

# of another object
torch.mine = n  # <- it sets 'mine' of an object that the graph does not contain
return x

# by a name that is not known
setattr(self, 'a' * n, n)  # <- setattr() with a name that is not known
return x

# got by a name that is not known
return x * getattr(self, ('times' if on else 'scale'))  # <- getattr() with a name that is not known
| unused = 'self.times, self.scale'
"""


@each(REFUSED)
def test_what_must_not_change_is_refused_with_its_line(refuses, body):
    refuses(body)


STATE = """
if not hasattr(self, 'old'):
    self.old = x.sum()
self.times += 1
self.sizes.append(n)
self.seen += 1
return self.old * self.times + self.seen, len(self.sizes)
""".strip()


def test_state_goes_on_from_call_to_call(reads):
    """As in Python, with what an earlier call left behind."""
    reads(STATE, again=True)
