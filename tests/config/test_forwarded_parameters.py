"""What a class passes on as **kwargs is taken by its base class, as far as its source tells."""

import functools

import pytest

from runner import nn
from runner.config.data_sizes import missing_sizes
from runner.config.forwarded_parameters import taken_parameters

DIGITS = {"_target_": "x", "shape": [1, 8, 8], "classes": 10}


class Base:
    def __init__(self, inputs: int, classes: int = 3, *, width: int = 8):
        self.given = inputs, classes, width


class Passes(Base):
    def __init__(self, depth: int = 2, **kw):
        super().__init__(**kw)


class PassesAgain(Passes):
    def __init__(self, **others):
        """Passes on what it is given."""
        self.first = 1
        super(PassesAgain, self).__init__(3, **others)  # noqa: UP008


class GivesSome(Base):
    def __init__(self, **kw):
        super().__init__(5, width=2, **kw)


class PassesAll(Base):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)


class GivesThrough(Passes):
    def __init__(self, **kw):
        super().__init__(inputs=5, width=2, **kw)


class GivesToAll(PassesAll):
    def __init__(self, **kw):
        super().__init__(5, width=2, **kw)


@nn.model_wrapper
class Wrapped(Passes):
    def __init__(self, **kw):
        super().__init__(**kw)


class Inherits(Passes):
    pass


class Mixin:
    def __init__(self, shape: list[int], **kw):
        super().__init__(**kw)


class Mixed(Mixin, Base):
    pass


@pytest.mark.parametrize(
    ("cls", "sizes"),
    [
        (Base, {"inputs": 64, "classes": 10}),
        (Passes, {"inputs": 64, "classes": 10}),
        (PassesAgain, {"inputs": 64, "classes": 10}),
        (GivesSome, {"classes": 10}),
        (PassesAll, {"inputs": 64, "classes": 10}),
        (GivesToAll, {"classes": 10}),
        (GivesThrough, {"classes": 10}),
        (Wrapped, {"inputs": 64, "classes": 10}),
        (Inherits, {"inputs": 64, "classes": 10}),
        (Mixed, {"shape": [1, 8, 8], "inputs": 64, "classes": 10}),
    ],
)
def test_sizes_reach_the_base_class_that_takes_them(cls, sizes):
    taken = taken_parameters(cls)
    assert missing_sizes({}, DIGITS, taken.known, "space") == sizes and not taken.beyond
    assert missing_sizes({"classes": 4}, DIGITS, taken.known, "space").get("classes") is None
    cls(**sizes)  # which takes all of them
    assert ("width" in taken.known) == (not cls.__name__.startswith("Gives"))
    assert "depth" in taken.known or not issubclass(cls, Passes) or cls is PassesAgain


class Changes(Base):
    def __init__(self, **kw):
        kw.setdefault("classes", 7)
        super().__init__(**kw)


class Sometimes(Base):
    def __init__(self, **kw):
        if True:
            super().__init__(**kw)


class ByName(Base):
    def __init__(self, **kw):
        Base.__init__(self, **kw)


class Partly(Base):
    def __init__(self, **kw):
        super().__init__(kw["inputs"])


class Reads(Base):
    def __init__(self, *args, **kw):
        self.count = len(args)
        super().__init__(*args, **kw)


class Adds(Base):
    def __init__(self, *args, **kw):
        super().__init__(*[3], **kw)


class Resets(Base):
    def __init__(self, **kw):
        super().reset(**kw)


class Keeps(Base):
    def __init__(self, **kw):
        self.kw = kw


@pytest.mark.parametrize("cls", [Changes, Sometimes, ByName, Partly, Reads, Adds, Resets, Keeps])
def test_what_is_not_simply_passed_on_may_or_may_not_reach_it(cls):
    taken = taken_parameters(cls)
    assert missing_sizes({}, DIGITS, taken.known, "space") == {}
    assert {"inputs", "classes", "width"} <= taken.beyond.keys()


def test_functions_and_classes_without_source_take_what_they_name():
    def make(inputs: int, **kw):
        return inputs, kw

    assert [*taken_parameters(make).known] == ["inputs", "kw"]
    assert not taken_parameters(functools.partial(make, 3)).beyond
    exec("class Hidden(Base):\n    def __init__(self, **kw): super().__init__(**kw)", globals())
    hidden = globals().pop("Hidden")
    assert "inputs" in taken_parameters(hidden).beyond
    assert [*taken_parameters(dict).known] == []
