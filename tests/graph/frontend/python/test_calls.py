"""Calls of functions, methods, modules and classes, and how their arguments are passed."""

import pytest
from source_rows import each

HEAD = """
import functools
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
def double(y):
    return y * 2
def full(a, /, b, c=3, *rest, d, e=5, **more):
    return [a, b, c, rest, d, e, more]
def only(a, b=1, /, **more):
    return a, b, more
def anything(*args, **kwargs):
    return args, kwargs
def apply(f, *args, **kwargs):
    return f(*args, **kwargs)
def factorial(k):
    return 1 if k <= 1 else k * factorial(k - 1)
def power(y, k):
    if k == 0:
        return y * 0 + 1
    return y * power(y, k - 1)
def changes(ys, y):
    ys.append(y)
def grows(y, ys=[]):
    ys = ys + [1]
    return y + len(ys)
def early(y, k):
    for i in range(k):
        if i == 2:
            return y
        y = y + i
    return -y
def wrapped(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs) * 2
    return wrapper
@wrapped
def decorated(y, k=1):
    return y + k
def scaled_by(k):
    def scale(y):
        return y * k
    return scale
tripled = scaled_by(3)
half = functools.partial(torch.mul, other=0.5)
class Base(nn.Module):
    def forward(self, x, n, on):
        return x + n
    def helper(self, y, k=1):
        return y * k
class Middle(Base):
    def forward(self, x, n, on):
        return super().forward(x, n, on) * 2
    def helper(self, y, k=2):
        return super().helper(y, k) + 1
class Callable:
    def __init__(self, k):
        self.k = k
    def __call__(self, y):
        return y * self.k
    def method(self, y):
        return y + self.k
    @property
    def doubled(self):
        return self.k * 2
    @staticmethod
    def static(y):
        return y - 1
    @classmethod
    def made(cls, k):
        return cls(k)
called = Callable(3)
K = 4
"""
ROWS = """
# keyword arguments that are set
def block(layer, y, **more):
    more['k'] = more.get('k', 0) + 1
    return layer(y) * more['k'], sorted(more), len(more)
return block(self.lin, x, k=n), block(self.lin, x)

# a function of the module
return double(x)

# a function of the module, by name
return double(y=x)

# every kind of argument
return x, full(n, 2, 4, 6, 7, d=x, z=on), full(1, b=n, d=2), full(n, 1, d=x, e=on)

# positions without names
return only(x, a=n), only(n, 2, b=x), (lambda a, /, **more: (a, more))(x, a=n)

# any arguments
return anything(x, n, a=on), anything(), anything(*[x, n], **{'a': 1})

# a known star
ys = [x, n]
return full(*ys, d=1), torch.cat(*[[x, x]]), full(1, *self.sizes, d=n)

# a star of a tensor
return torch.stack([*x]), max(*x.sum(1)), anything(*x)

# an unknown star
ys = [x] * n
return anything(*ys), torch.stack([x, *ys])

# an unknown star into a library
ys = [x] * (n + 1)
return torch.broadcast_tensors(*ys), torch.block_diag(x, *ys)

# two stars
d = {'d': n, 'z': x}
return full(1, 2, **d), full(1, **{'b': n, 'd': 2}), torch.sum(x, **{'dim': 0})

# a slice of a sequence of layers
y = self.seq[:2](x)
return self.seq[2:](y) + y, self.seq[:0](x), self.seq[::2](x), self.seq[-1:](x)

# a slice of a slice, in variables
first, rest = self.seq[:1], self.seq[1:]
return rest[:1](first(x)) if on else rest(x)

# a slice that an attribute bounds
return self.seq[: self.times](x), self.seq[self.times :](x)

# a slice that is known when the model runs
return self.seq[:n](x)

# iteration over slices
for layer in self.layers[1:]:
    x = layer(x)
for layer in self.seq[:2]:
    x = layer(x)
for i, layer in enumerate(self.layers[:-1]):
    x = layer(x) * i
return x, len(self.layers[1:]), self.layers[1:][0](x)

# sorted by a key that is known
pairs = [(2, x), (0, x + 1), (1, x * n), (2, x - 1)]
by = sorted(pairs, key=lambda p: p[0])
return by, sorted(pairs, key=lambda p: p[0], reverse=True), by[0][1]

# the greatest by a key that is known
pairs = [(2, x), (0, x + 1), (1, x * n), (2, x - 1), (0, x)]
first = max(pairs, key=lambda p: p[0]), min(pairs, key=lambda p: p[0])
return first, max((1, x), (3, n), (3, x), key=lambda p: p[0]), max(self.sizes, key=lambda s: -s)

# a list that is sorted by a key that is known
pairs = [(2, x), (0, x + 1), (1, x * n)]
same = pairs
pairs.sort(key=lambda p: p[0])
names = ['ccc', 'a', 'bb']
names.sort(key=len)
names.sort(key=lambda s: -len(s), reverse=self.flag)
return pairs, same, pairs[0][1], names

# unknown names
d = {k: n for k in ['dim'] * 1}
return anything(x, **d)

# a default
return grows(x), grows(x, [1, 2])

# an early return
return early(x, n)

# a list that it changes
ys = [x]
changes(ys, n)
return ys, len(ys)

# recursion over what is known
return x * factorial(4), factorial(self.times)

# recursion over a value
return x * factorial(n)

# recursion with tensors
return power(x, n)

# a function given away
return apply(double, x), apply(torch.add, x, n), apply(self.lin, x), apply(lambda v: v + n, x)

# a method given away
return apply(self.lin.forward, x), apply(x.add, n)

# functools.wraps
return decorated(x), decorated(x, k=n)

# a closure of the module
return tripled(x)

# a partial of the module
return half(x)

# a partial
f = functools.partial(double)
g = functools.partial(torch.add, alpha=2)
return f(x), g(x, n)

# a callable object
return called(x), called.method(x), x * called.k, x * called.doubled, called.static(x)

# a class method of an object
return x * Callable.made(5).k

# a new object
c = Callable(n)
return c(x), c.k

# a global
return x * K

# a nested function
def f(y, k=n):
    return y * k
return f(x), f(x, 2), f(y=x, k=1)

# a nested function sees later values
k = 1
def f(y):
    return y * k
k = n
return f(x)

# a default is evaluated once
k = 1
def f(y, k=k):
    return y * k
k = 5
return f(x)

# a nested function with branches
def f(y):
    if n > 2:
        return y
    for i in range(n):
        y = y + i
    return -y
return f(x), f(x * 2)

# a nested function of a nested function
def f(y):
    def g(z):
        return z + y + n
    return g
return f(x)(1), f(1)(x)

# a nested function that calls itself
def f(k):
    return 1 if k == 0 else k * f(k - 1)
return x * f(4)

# a nested function with any arguments
def f(*args, k=1, **more):
    return args, k, more
return f(x, n), f(x, k=2, z=n), f(*[x, n])

# a nested function that changes a list
log = []
def f(y):
    log.append(y)
    return y + 1
y = f(f(n))
return x, y, log, len(log)

# a nested function called in a loop
def f(y, k):
    return y + k
for i in range(n):
    x = f(x, i)
return x

# a nested function called in a branch
def f(y):
    return y + n
return f(x) if on else f(-x)

# a lambda
f = lambda y, k=2: y * k
return f(x), f(x, n), (lambda: x)()

# a lambda sees later values
f = lambda y: y * k
k = n
return f(x)

# a lambda chosen by what is known
f = (lambda y: y + 1) if self.flag else (lambda y: y - 1)
return f(x)

# a function in a dict
return {'a': torch.relu, 'b': double}['b'](x), {'a': torch.relu}['a'](x)

# a function in a list
for f in [torch.relu, double, self.lin, F.gelu]:
    x = f(x)
return x

# a layer that is made
return nn.Softmax(dim=1)(x), nn.Hardtanh(-0.5, n + 0.5)(x)

# a module
return self.lin(x), self.lin(input=x), self.lin.forward(x)

# a module by a fixed index
return self.layers[0](x), self.layers[-1](x), self.layers[1:][0](x)

# a module by a name
return self.named['one'](x), self.named[self.word if 0 else 'two'](x)

# a module by an index that is not known
return self.layers[n % 3](x)

# a module by a name that is not known
return self.named['one' if on else 'two'](x)

# a module chosen by a condition
f = self.lin if on else self.layers[0]
return f(x)

# a module by another name
f = self.lin
g = f
return g(x), g.weight.sum(), f.out_features

# a module in a list
return [m(x) for m in [self.lin, self.layers[0]]]

# a module in a tuple
a, b = self.lin, self.layers
return b[0](a(x)), len(b)

# methods of a tensor
return x.add(n).mul(2).view(-1), x.sum(dim=0, keepdim=True), x.T.contiguous(), getattr(x, 'sum')()

# a method of a class of torch
return torch.Tensor.add(x, n), torch.Tensor.sum(x, 0)

# a function of operator
import operator
return operator.add(x, n), operator.itemgetter(0)(x), operator.mul(n, 2)

# a function of math
return x * math.sqrt(2), math.sqrt(n), math.pi, math.floor(n / 2), math.prod(x.shape)

# an import
import math as m
from math import sqrt
import torch.nn.functional as G
return G.relu(x) * sqrt(n) + m.pi

# checkpoint
return checkpoint(self.lin, x, use_reentrant=False), checkpoint(double, x, use_reentrant=False)

# questions of compilers
a = torch.jit.is_scripting(), torch.jit.is_tracing(), torch.compiler.is_compiling()
return x, a, torch.onnx.is_in_onnx_export()

# is_scripting decides
if torch.jit.is_scripting():
    return x * 100
return x

# not is_scripting
if not torch.jit.is_scripting() and on:
    return x
return -x

# isinstance
return (
    x, isinstance(x, torch.Tensor), isinstance(n, int), isinstance(n, (float, str)),
    isinstance(self.lin, nn.Linear), isinstance([], list),
)

# type
return (
    x, type(n) is int, type(x) is torch.Tensor, type(self.lin) is nn.Linear,
    type(self.lin).__name__,
)

# callable and hasattr
return (
    x, callable(double), callable(n), hasattr(x, 'shape'), hasattr(self, 'lin'),
    hasattr(self, 'no'),
)

# getattr of a tensor
return getattr(x, 'shape')[0], getattr(x, 'nothing', n), x.ndim, x.dtype is torch.float32

# print
print(n)
return x

# random numbers
return x + torch.rand(3), torch.randn_like(x), F.dropout(x, 0.5, self.training)

# a dtype and a device
return x.to(torch.float64), torch.zeros(2, dtype=x.dtype, device=x.device), torch.ones(n).to(x)

# einsum
return torch.einsum('ij,kj->ik', x, x)

# F.relu
return F.relu(x, inplace=False), F.softmax(x, dim=-1), F.linear(x, self.weight[None])

# checkpoint of a closure
def f(y, k):
    return self.lin(y) * k
return checkpoint(f, x, n, use_reentrant=False)

# a decorator of a nested function
@wrapped
def f(y, k=n):
    return y + k
return f(x), f(x, k=2)
"""


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@each(ROWS)
def test_a_call_is_that_of_python(reads, body):
    layers = "nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))"
    reads(body, head=HEAD, init=f"self.seq = {layers}" if "self.seq" in body else "")


MEMBERS = """
# a method
return self.twice(x), self.twice(x, n)
| def twice(self, y, k=2):
|     return y * k

# a method by name
return self.twice(k=n, y=x)
| def twice(self, y, k=2):
|     return y * k

# a method with any arguments
return self.all(x, n), self.all(x, a=on), self.all(*[x])
| def all(self, *args, **kwargs):
|     return args, kwargs

# a method by a name that is known
return getattr(self, 'tw' + 'ice')(x)
| def twice(self, y):
|     return y * 2

# a method with exits
return self.go(x, n), self.go(x, 1)
| def go(self, y, k):
|     for i in range(k):
|         if i == 2:
|             return y
|         y = y + i
|     return -y

# a method that calls itself
return self.go(x, n)
| def go(self, y, k):
|     return y if k == 0 else self.go(y, k - 1) + 1

# a method that sets
self.go(x)
return x + self.seen
| def go(self, y):
|     self.seen += y.sum(0)

# a method of modules
return self.run(self.layers, x)
| def run(self, layers, y):
|     for layer in layers:
|         y = layer(y)
|     return y

# a static method
return self.go(x), type(self).go(x), M.go(x)
| @staticmethod
| def go(y):
|     return y * 2

# a class method
return self.go(x), M.go(x)
| K = 3
| @classmethod
| def go(cls, y):
|     return y * cls.K

# a property
return x * self.factor
| @property
| def factor(self):
|     return self.times + 1

# a property of a value
return x * self.total
| @property
| def total(self):
|     return self.weight.sum() if self.training else self.times

# a private method
return self.__go(x)
| def __go(self, y):
|     return y * 2

# an attribute of the class
return x * self.K + M.K
| K = 3

# a decorated method
return self.go(x)
| @wrapped
| def go(self, y):
|     return y + 1

# a method without gradients
return self.go(x) + x
| @torch.no_grad()
| def go(self, y):
|     return self.lin(y)

# a method in a variable
f = self.go
return f(x), [g(x) for g in (self.go, torch.relu)]
| def go(self, y):
|     return y * 2

# a method given away
return apply(self.go, x), list(map(self.go, [x, n]))
| def go(self, y):
|     return y * 2
"""


@each(MEMBERS)
def test_a_member_is_found_as_in_python(reads, body):
    reads(body, head=HEAD)


def test_modules_in_a_plain_list_are_kept_with_their_owner(reads):
    with pytest.raises(pytest.fail.Exception, match="modules that PyTorch does not register"):
        reads("return self.plain[0](x)", init="self.plain = [nn.ReLU()]")


SUPER = {
    "of one level": ("Base", "return super().forward(x, n, on) + 1"),
    "of two levels": ("Middle", "return super().forward(x, n, on) + 1"),
    "of another method": ("Middle", "return self.helper(x) + super().helper(x, n)"),
    "with arguments": ("Middle", "return super(Middle, self).forward(x, n, on) + 1"),
    "by the name of the class": ("Base", "return Base.forward(self, x, n, on) + 1"),
}


@pytest.mark.parametrize(("base", "body"), SUPER.values(), ids=SUPER)
def test_super_is_the_next_class(reads, base, body):
    reads(body, head=HEAD, base=base)


REFUSED = """
# keyword arguments that a branch takes out
def block(layer, y, **more):
    k = more.pop('k', 1) if y.sum() > 0 else 0
    return layer(y) * k + more.get('s', 50)  # <- keyword arguments change on a condition
return block(self.lin, x, s=n), block(self.lin, x)

# keyword arguments that a loop takes out
def block(y, **more):
    for i in range(n):
        y = y + more.pop('k', 5)  # <- keyword arguments change on a condition or in a loop
    return y
return block(x, k=n)

# a generator
def f():
    yield x
return [*f()]  # <- it calls a generator or coroutine

# eval
return eval('x')  # <- it calls eval(), which the source of a model must not contain

# nonlocal
k = 1
def f():
    nonlocal k  # <- `nonlocal` has no form in a graph
    k = 2
f()
return x * k

# global
global K  # <- `global` has no form in a graph
K = 4
return x * K

# a class
class C:  # <- a class inside a function has no form in a graph
    k = 2
return x * C.k

# a function passed to a library
return torch.func.vmap(lambda r: r * 2)(x)  # <- a function that is defined in place is passed on

# too many arguments
def f(a):
    return a
if n > 100:
    return f(x, 1)  # <- f() is called with 2 arguments
return x

# an argument that is missing
def f(a, b):
    return a
if n > 100:
    return f(x)  # <- f() is called without 'b'
return x

# an argument without a parameter
def f(a):
    return a
if n > 100:
    return f(x, b=1)  # <- f() has no parameter 'b'
return x

# a name that nobody knows
if n > 100:
    return unknown(x)  # <- unknown is read, but may not be assigned yet
return x

# a method of a module that does more
self.lin.eval()  # <- it calls eval() of a module, which does more than compute
return self.lin(x)

# functools.reduce
import functools
return functools.reduce(lambda a, b: a + b, [x])  # <- a function that is defined in place

# a nested function in a branch
if on:
    def f(y):
        return y + 1
else:
    def f(y):
        return y - 1
return f(x)  # <- f depends on a condition

# lambdas in a list
fs = [lambda y: y + n]  # <- a function that is defined in place is passed on
return fs[0](x)

# a lambda in a dict
return {'a': lambda y: y + n}['a'](x)  # <- a function that is defined in place is passed on

# a lambda chosen by a condition
f = (lambda y: y + 1) if on else (lambda y: y - 1)  # <- depends on a condition

# a key to sort by
return x, sorted([n, 2], key=lambda v: -v)  # <- the order by a key is not known before the model

# a key to sort what is not known item by item
return x, sorted([n, 2] * n, key=lambda v: -v)  # <- sorted() with a key, of what is not known

# a decorator of a library, of a nested function
@torch.no_grad()
def f(y):  # <- a function that is defined in place is passed on
    return y * 2
return f(x)
"""


@each(REFUSED)
def test_what_has_no_form_is_refused_with_its_line(refuses, body):
    refuses(body, head=HEAD)


def test_a_function_of_the_users_module_is_one_of_the_source(reads):
    text = reads("return double(x) + early(x, n)", head=HEAD)
    assert "def double(y):\n    return y * 2\n" in text
    assert "def early(y, k):\n    for i in range(k):\n        if i == 2:\n" in text


NAMES = """
# functions named as what the source has itself
return build(x) + sum(y for y in [x, n]) + Path(x) + F(x) + torch.relu(x) + self.lin(x)

# a function named as a class
return like_class(x) + self.lin(x)

# a function named as a parameter of its caller
return calls(x, n), build(x)
"""
NAMES_HEAD = """
def build(y):
    return y * 2
def Path(y):
    return y * 3
def F(y):
    return y - 1
def total(y):
    return y * 5
total.__name__ = 'build'
def calls(y, build):
    return total(y) + build
def M(y):
    return y + 7
like_class = M
"""


@each(NAMES)
def test_a_function_is_not_hidden_by_another_of_its_name(reads, body):
    reads(body, head=NAMES_HEAD)


def test_functions_of_python_are_imported_from_where_they_are_documented(reads):
    body = "return functools.reduce(operator.mul, [x, *self.sizes] * (n + 1))"
    text = reads(body, head="import operator\n")
    assert "from functools import reduce\n" in text
    assert "reduce(operator.mul, " in text
