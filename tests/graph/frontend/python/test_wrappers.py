"""Functions that wrap others, and the names of methods that several functions compete for."""

import pytest
import torch
from snippets import HEAD as IMPORTS
from snippets import module_of
from source_rows import each

from runner.graph.frontend.convert import convert
from runner.graph.validation.conversion_check import check_conversion
from runner.nn.recording.construction_record import recording

HEAD = """
import contextlib, functools
def plain(f):
    def inner(self, x):
        return f(self, x) + 1
    return inner
def any_arguments(f):
    @functools.wraps(f)
    def inner(*args, **kwargs):
        return f(*args, **kwargs) + 1
    return inner
def any_with_self(f):
    @functools.wraps(f)
    def inner(self, *args, **kwargs):
        return f(self, *args, **kwargs) * self.k
    return inner
def one_and_any(f):
    @functools.wraps(f)
    def inner(self, x, *args, **kwargs):
        return f(self, x * 2, *args, **kwargs)
    return inner
def swapped(f):
    @functools.wraps(f)
    def inner(self, y, x):
        return f(self, x, y)
    return inner
def fewer(f):
    @functools.wraps(f)
    def inner(self, x):
        return f(self, x, 5)
    return inner
def asks_itself(f):
    @functools.wraps(f)
    def inner(*args, **kwargs):
        if not isinstance(args[0], nn.Module):
            raise TypeError('no module')
        if not args[0].flag:
            return f(*args, **kwargs)
        return f(*[a + 1 for a in args[1:]], **{k: v for k, v in kwargs.items()})
    return inner
def looks(f):
    @functools.wraps(f)
    def inner(self, *args, **kwargs):
        if kwargs.get('y') is None:
            return f(self, *args, **kwargs)
        return f(self, *args, **kwargs) * 2
    return inner
class Child(nn.Module):
    def __init__(self):
        super().__init__()
        self.k, self.flag = 3, False
class AnyArguments(Child):
    @any_arguments
    def forward(self, x, y=2):
        return x - y * 2
class AnyWithSelf(Child):
    @any_with_self
    def forward(self, x, y=2, *, z=1):
        return x - y * 2 + z
class OneAndAny(Child):
    @one_and_any
    def forward(self, x, y=2):
        return x - y * 2
class Swapped(Child):
    @swapped
    def forward(self, x, y):
        return x - y * 2
class Fewer(Child):
    @fewer
    def forward(self, x, y):
        return x - y * 2
class AsksItself(Child):
    @asks_itself
    def forward(self, x, y=2):
        return x - y * 2
class Looks(Child):
    @looks
    def forward(self, x, y=2):
        return x - y * 2
class Context(contextlib.ContextDecorator):
    def __enter__(self):
        return self
    def __exit__(self, *error):
        return False
class InContext(Child):
    @Context()
    def forward(self, x):
        return x + 1
class Twice(Child):
    @any_with_self
    @any_arguments
    def forward(self, x, y=2):
        return x - y * 2
class LooksInside(Child):
    @any_arguments
    @looks
    def forward(self, x, y=2):
        return x - y * 2
class NoGrad(Child):
    @torch.no_grad()
    def forward(self, x, y=2):
        return x - y * 2
def scaled(k):
    def op(self, x):
        return x * k
    return op
class Made(Child):
    def forward(self, x):
        return self.op1(x) + self.op2(x) * self.op3(x)
for i in (1, 2, 3):
    setattr(Made, f'op{i}', scaled(i))
class Kept(Child):
    @plain
    def a(self, x):
        return x * 2
    @plain
    def b(self, x):
        return x * 30
    def forward(self, x):
        try:
            return x + 1
        except ValueError:
            return x
def chain():
    class Block(Child):
        def forward(self, x):
            return x + 1
        def go(self, x):
            return x * 2
    First = Block
    class Block(First):
        def forward(self, x):
            return super().forward(x) * 2
        def go(self, x):
            return super().go(x) + 1
    Second = Block
    class Block(Second):
        def forward(self, x):
            return super().forward(x) - 5 + self.go(x)
        def go(self, x):
            return super().go(x) - 3 + self.go_of_chain(x)
        def go_of_chain(self, x):
            return x * 50
    return Block
class Renamed(Child):
    def go(self, x):
        return x + 1
    forward = go
"""
PARENT_OF_KEPT = """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = Kept()
    def forward(self, x):
        return self.c.a(x) + self.c.b(x)
"""
WRAPPED = {
    "any arguments": ("AnyArguments", "return self.c(x), self.c(x, n), self.c(x, y=n)"),
    "any with self": ("AnyWithSelf", "return self.c(x), self.c(x, n, z=2), self.c(z=n, x=x, y=3)"),
    "one and any": ("OneAndAny", "return self.c(x), self.c(x, n), self.c(x=x, y=n)"),
    "other names": ("Swapped", "return self.c(x, n), self.c(n, x=x), self.c(x=x, y=n)"),
    "fewer": ("Fewer", "return self.c(x), self.c(x=n)"),
    "asks itself": ("AsksItself", "return self.c(x), self.c(x, y=n)"),
    "twice": ("Twice", "return self.c(x), self.c(x, y=n)"),
    "no_grad": ("NoGrad", "return self.c(x), self.c(x, y=n)"),
}
METHODS = {
    "of a factory": ("Made", "return self.c(x)"),
    "of a module that is called": ("Made", "return self.c.op1(x), self.c.op3(x)"),
    "of one class name": ("chain()", "return self.c(x), self.c.go(x)"),
    "with two names": ("Renamed", "return self.c(x), self.c.go(x)"),
}
MEMBERS = """
# a decorator without functools.wraps
return self.a(x), self.b(x), self.a(n)
| @plain
| def a(self, y):
|     return y * 2
| @plain
| def b(self, y):
|     return y * 30

# lambdas
return self.f(x), self.g(x), self.f(n)
| f = lambda self, y: y + 1
| g = lambda self, y: y * 20

# two names of one function
return self.a(x), self.b(x), self.a(n)
| def a(self, y):
|     return y * 2
| b = a
"""


@pytest.mark.parametrize(("made", "body"), WRAPPED.values(), ids=WRAPPED)
def test_a_wrapper_takes_what_it_takes_in_python(reads, made, body):
    reads(body, head=HEAD, init=f"self.c = {made}()")


@pytest.mark.parametrize(("made", "body"), METHODS.values(), ids=METHODS)
def test_methods_of_one_name_are_kept_apart(reads, made, body):
    reads(body, head=HEAD, init=f"self.c = {made}()")


@each(MEMBERS)
def test_each_function_is_a_method_of_its_own(reads, body):
    reads(body, head=HEAD)


def test_methods_of_a_module_that_is_kept_have_the_names_they_have_there():
    with recording():
        made = module_of(f"{IMPORTS}{HEAD}{PARENT_OF_KEPT}").M()
    graph = convert(made, frontend="python")
    assert graph.root.grade == "graph" and "`try` has no form" in graph.notes[0].text
    check_conversion(made, torch.ones(3), frontend="python").raise_if_wrong()


@pytest.mark.parametrize("made", ["Looks", "LooksInside"])
def test_a_wrapper_that_looks_at_its_arguments_is_refused(reads, made):
    why = "it looks at the arguments of a function|not known one by one|any number of arguments"
    with pytest.raises(pytest.fail.Exception, match=why):
        reads("return self.c(x)", head=HEAD, init=f"self.c = {made}()")


def test_a_wrapper_of_the_standard_library_is_refused_at_the_function(reads):
    with pytest.raises(pytest.fail.Exception, match=r"snippet_\d+.py:\d+: it is wrapped by Python"):
        reads("return self.c(x)", head=HEAD, init="self.c = InContext()")
