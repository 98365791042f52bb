# ruff: noqa: E501
"""Modules as users write them, hostile but legal: what a kept class uses of them comes along.

Each case is the files of a package, of which `pkg.net:Net` is the model; its input is (N, 4).
"""

HEAD = "import torch\nfrom torch import nn\nfrom runner.nn import basic_unit\n"
LINE = "    def __init__(self):\n        super().__init__()\n        self.lin = nn.Linear(4, 4)\n"


def net(body: str, forward: str, head: str = "", init: str = "", mark: str = "@basic_unit") -> str:
    """A module with a kept class `Net`, whose forward is an expression of `x` and `self`."""
    return (
        f"{head}{HEAD}{body}\n\n{mark}\nclass Net(nn.Module):\n{LINE}"
        f"{''.join(f'        {line}' + chr(10) for line in init.splitlines())}"
        f"\n    def forward(self, x):\n        x = self.lin(x)\n        return {forward}\n"
    )


CASES: dict[str, dict[str, str]] = {
    "constants computed from others": {
        "net": net("import math\nBASE = 2\nWIDE = BASE * 3\nSCALE = math.sqrt(WIDE)", "x * SCALE")
    },
    "helpers that call each other": {
        "net": net("def even(n):\n    return n == 0 or odd(n - 1)\n"
                   "def odd(n):\n    return n != 0 and even(n - 1)\n", "x * 2 if even(4) else x")
    },
    "libraries imported by name": {
        "net": net("import importlib\nnp = importlib.import_module('numpy')\n",
                   "x * float(np.ones(1)[0]) if x.sum() < 1e9 else importlib.import_module('json')")
    },
    "a dataclass": {
        "net": net("from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass Config:\n"
                   "    scale: float = 2.0\n    more: list = field(default_factory=lambda: [3.0])\n"
                   "DEFAULT = Config()", "x * DEFAULT.scale + DEFAULT.more[0]")
    },
    "a dataclass with postponed annotations": {
        "net": net("from dataclasses import dataclass\nfrom typing import ClassVar\n@dataclass\n"
                   "class Config:\n    kinds: ClassVar[int] = 3\n    scale: float = 2.0\n",
                   "x * Config().scale * Config.kinds", head="from __future__ import annotations\n")
    },
    "an enum": {
        "net": net("from enum import Enum\nclass Kind(Enum):\n    ADD = 1\n    MUL = 2\n",
                   "x * 2 if self.kind is Kind.MUL else x", init="self.kind = Kind.MUL")
    },
    "a base class in another module": {
        "base": f"{HEAD}\nclass Base(nn.Module):\n    def forward(self, x):\n        return x + 1\n",
        "net": HEAD + "from pkg.base import Base\n\n@basic_unit\nclass Net(Base):\n" + LINE
               + "\n    def forward(self, x):\n        return super().forward(self.lin(x))\n",
    },
    "relative imports": {
        "deep/__init__": "from ..scales import SCALE as DEEP\n",
        "scales": "SCALE = 5\n",
        "net": net("from .deep import DEEP\nfrom . import scales\nfrom .scales import SCALE as S\n",
                   "x * DEEP + scales.SCALE + S"),
    },
    "import x as y": {
        "tools": "import numpy as np\ndef scale(x):\n    return x * float(np.float32(3))\n",
        "net": net("import pkg.tools as t\nimport torch.nn.functional as f\nimport os.path as p\n",
                   "f.relu(t.scale(x)) + len(p.sep)"),
    },
    "import of a package, read through it": {
        "tools": "def scale(x):\n    return x * 3\n",
        "net": net("import pkg.tools\n", "pkg.tools.scale(x)"),
    },
    "two modules with the same names": {
        "one": "FACTOR = 2\ndef helper(x):\n    return x * FACTOR\n",
        "two": "FACTOR = 7\ndef helper(x):\n    return x + FACTOR\n",
        "net": net("from pkg.one import helper\nfrom pkg import two\nFACTOR = 100\n",
                   "two.helper(helper(x)) + FACTOR"),
    },
    "names of the file and of builtins": {
        "net": net("def build(x):\n    return x + 1\ndef round(x):\n    return x * 2\n"
                   "def load(x):\n    return x - 4\nCONSTANTS = 3\n",
                   "load(round(build(x))) + CONSTANTS")
    },
    "decorators": {
        "net": net("import functools\ndef twice(f):\n    @functools.wraps(f)\n    def g(x):\n"
                   "        return f(f(x))\n    return g\n@twice\ndef inc(x):\n    return x + 1\n",
                   "inc(x)")
    },
    "a decorator of the class": {
        "net": net("def scaled(cls):\n    cls.scale = 4\n    return cls\n", "x * self.scale",
                   mark="@scaled\n@basic_unit")
    },
    "nested classes": {
        "net": net("class Outer:\n    class Inner:\n        value = 3\n    other = Inner.value * 2\n",
                   "x * Outer.Inner.value + Outer.other")
    },
    "default arguments that refer to globals": {
        "net": net("SCALE = 3\ndef scale(x, by=SCALE, *, more=(SCALE, 1)):\n"
                   "    return x * by + more[1]\n", "scale(x)")
    },
    "a registry filled by assignments": {
        "net": net("OPS = {}\ndef double(x):\n    return x * 2\nOPS['double'] = double\n"
                   "for name in ('a', 'b'):\n    OPS[name] = double\n", "OPS['double'](OPS['a'](x))")
    },
    "a registry filled by a decorator": {
        "registry": "OPS = {}\ndef register(name):\n    def put(f):\n        OPS[name] = f\n"
                    "        return f\n    return put\n",
        "ops": "from pkg.registry import register\n@register('double')\ndef double(x):\n"
               "    return x * 2\n",
        "net": net("from pkg import ops\nfrom pkg.registry import OPS\n", "OPS['double'](x)"),
    },
    "__all__ and a star import": {
        "tools": "__all__ = ['scale']\nHIDDEN = 3\ndef scale(x):\n    return x * HIDDEN\n",
        "net": net("from pkg.tools import *\nfrom math import *\n", "scale(x) + pi"),
    },
    "conditional imports": {
        "fast": "def scale(x):\n    return x * 3\n",
        "net": net("try:\n    import no_such_thing\nexcept ImportError:\n    no_such_thing = None\n"
                   "try:\n    from pkg.fast import scale\n    FAST = True\nexcept ImportError:\n"
                   "    FAST = False\n"
                   "import sys\nif sys.version_info >= (3, 0):\n    MORE = 2\nelse:\n    MORE = 3\n",
                   "scale(x) * MORE if FAST and no_such_thing is None else x")
    },
    "imports inside functions": {
        "fast": "FACTOR = 3\ndef scale(x):\n    return x * FACTOR\n",
        "net": net("def scaled(x):\n    from pkg.fast import scale as s, FACTOR\n    import math\n"
                   "    return s(x) * FACTOR + math.pi\n", "scaled(x)"),
    },
    "imports for type checkers": {
        "kinds": "class Kind:\n    pass\n",
        "net": net("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pkg.kinds import Kind\n"
                   "    from no_such_package import Other\n"
                   "def scale(x: 'Kind', y: 'Other' = None) -> 'Kind':\n    return x * 2\n",
                   "scale(x)"),
    },
    "imports for type checkers, postponed": {
        "kinds": "class Kind:\n    pass\n",
        "net": net("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
                   "    from no_such_package import Other\n"
                   "def scale(x: torch.Tensor, y: Other | None = None) -> dict[str, Other]:\n"
                   "    z: Other = x\n    return z * 2\n", "scale(x)",
                   head="from __future__ import annotations\n"),
    },
    "partial functions and lambdas": {
        "net": net("from functools import partial\nfrom operator import mul\n"
                   "double = partial(mul, 2)\nSHIFT = 3\nshift = lambda x, by=SHIFT: x + by * SHIFT\n",
                   "shift(double(x))")
    },
    "forward references": {
        "net": net("def first(x):\n    return second(x) * LATER\ndef second(x):\n    return Third.go(x)\n"
                   "class Third:\n    @staticmethod\n    def go(x):\n        return x + 1\nLATER = 2\n",
                   "first(x)")
    },
    "super chains and mixins": {
        "net": HEAD + "class A(nn.Module):\n    def forward(self, x):\n        return x + 1\n"
               "class Mixin:\n    def forward(self, x):\n        return super().forward(x) * 2\n"
               "class B(Mixin, A):\n    def forward(self, x):\n        return super(B, self).forward(x) - 3\n"
               "\n@basic_unit\nclass Net(B):\n" + LINE
               + "\n    def forward(self, x):\n        return super().forward(self.lin(x))\n",
    },
    "private names and slots": {
        "net": net("_SCALE = 3\nclass _Hidden:\n    __slots__ = ('_value',)\n    def __init__(self):\n"
                   "        self._value = _SCALE\n    def __call__(self, x):\n"
                   "        return x * self._value\n", "self.__scaled(x)\n\n    def __scaled(self, x):\n"
                   "        return _Hidden()(x)")
    },
    "comprehensions and walrus": {
        "net": net("FACTORS = [f for f in range(4) if f]\nTOTAL = sum(f * g for f in FACTORS for g in "
                   "FACTORS)\ndef pick(x):\n    return [y for f in FACTORS if (y := x * f) is not None]"
                   "[-1]\n", "pick(x) + TOTAL")
    },
    "locals with the names of globals": {
        "net": net("scale = 3\ndef inner(scale):\n    def g():\n        return scale * 2\n"
                   "    return g()\n", "inner(x) * scale")
    },
    "a global that functions count in": {
        "net": net("CALLS = 0\ndef count(x):\n    global CALLS\n    CALLS += 1\n    return x + 1\n",
                   "count(x)")
    },
    "a NamedTuple and a TypedDict": {
        "net": net("from typing import NamedTuple, TypedDict\nclass Pair(NamedTuple):\n    a: float = 1.0\n"
                   "    b: float = 2.0\nclass Opts(TypedDict):\n    by: float\nOPTS: Opts = {'by': 2.0}\n",
                   "x * Pair().b * OPTS['by']")
    },
    "a metaclass and a keyword of the class": {
        "net": net("class Meta(type):\n    def __new__(m, n, b, d, by=1):\n"
                   "        made = super().__new__(m, n, b, d)\n        made.by = by\n        return made\n"
                   "    def __init__(c, n, b, d, by=1):\n        super().__init__(n, b, d)\n"
                   "class Kind(metaclass=Meta, by=5):\n    pass\n", "x * Kind.by")
    },
    "an autograd function": {
        "net": net("class Clip(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n"
                   "        return x.clamp(-BOUND, BOUND)\n    @staticmethod\n"
                   "    def backward(ctx, g):\n        return g\nBOUND = 0.1\n", "Clip.apply(x)")
    },
    "names beyond ASCII, comments and odd layout": {
        "net": net("größe = 3  # how much: größer\n# A comment: é\ndef scale(x, *,\n          by = größe\n"
                   "          ): return x*by; \nA = 1; B = A + größe\n", "scale(x) + B")
    },
    "tabs": {
        "net": net("def scale(x):\n\tif x is None:\n\t\treturn 1\n\treturn x * 3\n", "scale(x)")
    },
    "continued lines and strings of several": {
        "net": net('TEXT = """\nfrom pkg import nothing\n# no comment\n"""\nBY = 1 + \\\n    2\n'
                   "PARTS = (\n    BY,\n    len(TEXT),\n)\n", "x * PARTS[0] + PARTS[1]")
    },
    "star arguments, match and with": {
        "net": net("import contextlib\n@contextlib.contextmanager\ndef scope(*names, **more):\n"
                   "    yield names[0]\ndef pick(x):\n    with scope(BY) as by:\n        match by:\n"
                   "            case int(n) if n == BY:\n                return x * n\n    return x\n"
                   "BY = 3\n", "pick(x)")
    },
    "an f-string": {"net": net("BY = 3\ndef text():\n    return f'{BY!r:>4}'\n", "x * len(text())")},
    "a class that makes others of its module": {
        "net": net("class Part(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
                   "        self.lin = nn.Linear(n, n)\n    def forward(self, x):\n"
                   "        return self.lin(x)\n", "self.part(x)", init="self.part = Part(4)")
    },
    "a shell on one line, with its forward in another class": {
        "base": net("", "self.part(x)", mark="")
                .replace("        return self.part(x)", "        try:\n            return "
                         "self.part(x)\n        finally:\n            pass\n")
                .replace("class Net", "class Base"),
        "net": HEAD + "from pkg.base import Base\nclass Net(Base): part = nn.Identity()\n",
    },
    "a shell with a docstring and a comment": {
        "net": HEAD + "class Net(nn.Module):\n    \"\"\"A net.\"\"\"\n\n    # How much.\n    by = 3\n\n"
               + LINE.replace("def __init__(self)", "def __init__(self, *, n: int = 2)")
               + "\n    # What it does.\n    def forward(self, x):\n        try:\n"
                 "            return self.lin(x) * self.by\n        finally:\n            pass\n",
    },
    "shells of one class, with different parts": {
        "net": HEAD + "class Part(nn.Module):\n" + LINE.replace("(self)", "(self, act)")
               + "        self.act = act\n\n    def forward(self, x):\n        try:\n"
                 "            return self.act(self.lin(x))\n        finally:\n            pass\n\n\n"
                 "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
                 "        self.one, self.two = Part(nn.ReLU()), Part(nn.Tanh())\n\n"
                 "    def forward(self, x):\n        return self.two(self.one(x))\n",
    },
    "a shell: what its constructor uses stays behind": {
        "parts": HEAD + "def make():\n    return nn.Linear(4, 4)\n",
        "net": net("from pkg.parts import make\n", "self.part(x)", mark="", init="self.part = make()")
               .replace("        return self.part(x)",
                        "        try:\n            return self.part(x)\n        finally:\n"
                        "            pass\n"),
    },
}  # fmt: skip

# What cannot travel, and what is said of it.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "its own file": ({"net": net("HERE = __file__\n", "x + len(HERE)")}, "__file__ of pkg/net.py"),
    "choices in the constructor": (
        {"net": net("from runner import nn as rnn\n", "x * self.by",
                    init="self.by = rnn.ValueChoice([1, 2], label='by')()")},
        "makes choices while it is built (nn.ValueChoice)",
    ),
    "what no file sets": (
        {"net": net("globals()['BY'] = object()\ndef f(x):\n    return x if BY else x\n", "f(x)")},
        "no statement of pkg/net.py sets BY",
    ),
    "a module as an object": (
        {"tools": "BY = 2\n", "net": net("from pkg import tools\n", "x * getattr(tools, 'BY')")},
        "uses the module pkg.tools as an object",
    ),
    "a module by its name, on a path that is not taken": (
        {"x": "BY = 2\n",
         "net": net("import importlib\n", "importlib.import_module('pkg.x').BY if x.sum() > 1e9 else x")},
        "importlib.import_module('pkg.x') imports or runs code that no import statement names",
    ),
    "a module by its name, in a helper": (
        {"x": "BY = 2\n",
         "net": net("def f(x, name):\n    return __import__('pkg.' + name).BY if x.sum() > 1e9 else x\n",
                    "f(x, 'x')")},
        "__import__('pkg.' + name) imports or runs code that no import statement names",
    ),
    "code in a text": (
        {"net": net("def f(x):\n    return x\n", "eval('f')(x)")},
        "eval('f') imports or runs code that no import statement names",
    ),
}  # fmt: skip
