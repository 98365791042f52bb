"""Attributes of modules: read, set, asked for, and those of children and of the class."""

import copy

import pytest
import torch
from snippets import model as model_of
from snippets import same
from source_rows import each

from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.nn.recording.construction_record import recording

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

# a property with a setter
self.p = n
self.p += 1
return x * self.p, self.times
| @property
| def p(self):
|     return self.times * 2
| @p.setter
| def p(self, value):
|     self.times = value + 1

# a cached property
self.times += 1
return x * self.p + self.p, self.times
| @functools.cached_property
| def p(self):
|     self.times += 5
|     return self.times

# a cached property of constants
return x.new_zeros(self.p), [i for i in range(self.p)]
| @functools.cached_property
| def p(self):
|     return self.times * 2

# methods of a class
return x * self.k(n) + M.s(n) + self.q()
| @classmethod
| def k(cls, n):
|     return n + cls.K
| @staticmethod
| def s(n):
|     return n * 2
| def by(self, k):
|     return k * self.times
| K, q = 3, functools.partialmethod(by, 4)

# its own __getattr__
return x * self.one + self.lin(x)
| def __getattr__(self, name):
|     if name == 'one':
|         return self.times + 1
|     return super().__getattr__(name)

# an item of a dict that is changed
ys = self.table.get('l')
ys.append(n)
self.deep['l'].append(1)
return x, len(ys), len(self.deep['l']), self.deep['t'] + 1

# tensors in a list, changed in place
self.state[0].add_(x.sum())
for t in self.state:
    t.mul_(2)
first, second = self.state
first.sub_(n)
return x + self.state[0].sum(), self.state, second

# tensors in a dict, changed in place
for k, t in self.deep2.items():
    t.add_(n)
for t in self.deep2.values():
    t.add_(1)
return x, self.deep2

# a list that one of two names holds
ys = self.sizes if x.sum() > 0 else []
ys.append(n)
return x, len(self.sizes)

# a list in a list that is returned
ys = self.both(x)
ys[0].append(n)
return x, len(self.sizes)
| def both(self, x):
|     return [self.sizes, x]

# lists in a dict that changes
d = {'a': self.sizes, 'b': [1]}
if x.sum() > 0:
    d['c'] = 1
for k in 'ab':
    d[k].append(n)
return x, len(self.sizes)

# a list that a loop carries
ys, t = self.sizes, 0
for i in range(n):
    ys.append(i)
    ys = []
return x, len(self.sizes)

# a list that a loop reads
t = 0
for i in range(n):
    t = t + self.sizes[i % 3]
return x * t

# a list put into another
all_ = [x] * n
all_.append(self.sizes)
all_[n].append(1)
return x, len(self.sizes)

# an ordered dict and a set
self.od.move_to_end('a')
self.kinds.difference_update({1})
return x, list(self.od), sorted(self.kinds), len(self.kinds)

# a default dict
self.dd['a'] += n
return x, self.dd['b'], dict(self.dd)

# a default dict that does not change
return x * self.dd['k'], 'a' in self.dd, self.dd.get('a')

# methods that change nothing
return (
    x, self.sizes.index(2), self.sizes.count(1), self.sizes.copy(), self.table.get('a'),
    sorted(self.kinds.union({7})), self.kinds.issubset({1, 2, 3}), list(self.od.items()),
)

# one list of two names that nothing changes
return x * self.u[1] + len(self.t) + self.t[n % 2]

# its own length and items
for i in range(len(self.own)):
    x = self.own[i](x)
for layer in self.own:
    x = layer(x)
first, second = self.own
return second(x), 1 if self.own else 2, bool(self.own), 3 in self.own, list(self.own)[0](x)

# its own length that changes
x = self.stack(x)
return x, len(self.stack), 1 if len(self.stack) else 2, 7 in self.stack, self.stack[0]

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
from collections import OrderedDict, defaultdict
class Kind(enum.Enum):
    A = 1
class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Tanh()])
    def __len__(self):
        return len(self.layers)
    def __getitem__(self, i):
        return self.layers[i]
    def __iter__(self):
        return iter(self.layers)
    def __contains__(self, value):
        return value in (1, 3)
class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = []
    def __len__(self):
        return len(self.seen)
    def __getitem__(self, i):
        return self.seen[i]
    def __contains__(self, value):
        return value in self.seen
    def forward(self, x):
        self.seen.append(7)
        return x + 1
class Doubled:
    def __get__(self, owner, cls):
        return owner.times * 2
    def __set__(self, owner, value):
        owner.times = value
"""
INIT = {
    "self.kind_": "self.kind_ = Kind.A\n",
    "self.kind)": "self.kind = torch.float64\n",
    "self.act": "self.act, self.part = torch.relu, functools.partial(torch.mul, other=2)\n",
    "self.config": "self.config = SimpleNamespace(width=3, deep={'a': 1}, sizes=(1, 2))\n",
    "self.__k": "self.__k = 2\n",
    "self.deep[": "self.deep = {'l': [1], 't': torch.ones(2)}\n",
    "self.deep2": "self.deep2 = {'a': torch.ones(2), 'b': torch.zeros(2)}\n",
    "self.table.get('l')": "self.table['l'] = [1]\n",
    "self.state": "self.state = [torch.zeros(2), torch.ones(1)]\n",
    "self.od": "self.od = OrderedDict(a=1, b=2)\n",
    "self.kinds": "self.kinds = {1, 2, 3}\n",
    "self.dd": "self.dd = defaultdict(int, k=2)\n",
    "self.u[": "self.u = self.t = [1, 2]\n",
    "self.own": "self.own = Own()\n",
    "self.stack": "self.stack = Stack()\n",
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

# a descriptor
return x * self.d  # <- 'd' of a M is computed by its class
| d, unused = Doubled(), 'self.times'

# a descriptor, set
self.d = n  # <- 'd' of a M is set by its class
return x
| d, unused = Doubled(), 'self.times'

# whether a class computes it
if hasattr(self, 'd'):  # <- it asks whether there is 'd', which is computed
    x = x + 1
return x
| @property
| def d(self):
|     return self.times

# its own __setattr__
self.times = n  # <- M defines __setattr__()
return x
| def __setattr__(self, name, value):
|     super().__setattr__(name, value * 2 if name == 'n' else value)

# past its class
object.__setattr__(self, 'times', n)  # <- it sets an attribute by a method of its class
return x * self.times

# by its dict
self.__dict__['times'] = n  # <- '__dict__' of a M is computed by its class
return x * self.times

# a buffer by the dict of buffers
self._buffers['seen'] = x.sum(0)  # <- it changes '_buffers' of a module
return x + self.seen

# got by a name that is not known
return x * getattr(self, ('times' if on else 'scale'))  # <- getattr() with a name that is not known
| unused = 'self.times, self.scale'
"""


@each(REFUSED)
def test_what_must_not_change_is_refused_with_its_line(refuses, body):
    refuses(body, head=HEAD)


SHARED = """
# of one module
self.u.append(n)
return x, len(self.t)

# of a child
self.u.append(n)
return self.child(x)

# of a child that changes it
return self.child.push(x), len(self.u)

# inside another list
self.nested[0].append(1)
return x, len(self.u)
"""
CHILD = """
class Child(nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen
    def forward(self, x):
        return x * len(self.seen)
    def push(self, x):
        self.seen.append(1)
        return x
"""
IN_CHILD = "self.u = self.t = []\nself.child, self.nested = Child(self.u), [self.u]\n"


@each(SHARED)
def test_a_list_that_several_attributes_hold_stays_one(body):
    with recording():
        model = model_of(body, "n", IN_CHILD, CHILD)
    twin = copy.deepcopy(model)
    graph = convert(model, frontend="python")
    assert "are one object that changes" in graph.notes[0].text
    built = load_source(generate(graph, standalone=True), graph.tensors).build()
    for _ in range(2):
        assert same(built(torch.ones(2, 3), 3), twin(torch.ones(2, 3), 3))


def test_a_buffer_that_is_none_stays_out_of_the_state_dict(reads):
    body = "if self.mask is None:\n    self.mask = x * n\nreturn x + self.mask"
    text = reads(body, init="self.register_buffer('mask', None, persistent=False)", again=True)
    assert 'self.register_buffer("mask", None, persistent=False)' in text


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


@pytest.mark.parametrize("sign", ["+", "-", "*", "//"])
def test_a_change_of_an_attribute_is_written_as_one(reads, forward_of, sign):
    body = f"self.times {sign}= n + 1\nreturn x * self.times"
    assert forward_of(reads(body, again=True)) == body
    body = f"self.times = self.scale {sign} n\nreturn x * self.times"
    assert forward_of(reads(body)) == body


def test_a_change_of_an_item_is_written_as_one(reads, forward_of):
    text = forward_of(reads("self.sizes[0] += n\nself.table['a'] *= 2\nreturn x, self.sizes[0]"))
    assert "sizes[0] += n\n" in text
    assert "iadd" not in text and "imul" not in text
