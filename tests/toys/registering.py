"""A space whose classes register themselves: in a dict, in a list, and through a metaclass."""

from runner import nn

BY_NAME: dict[str, type] = {}
IN_ORDER: list[type] = []
MADE: dict[str, type] = {}
STATE = (BY_NAME, IN_ORDER, MADE)


class Registering(type):
    def __init__(cls, name, bases, body, **given):
        super().__init__(name, bases, body)
        MADE[name] = cls


class Op(nn.Module, metaclass=Registering):
    def __init_subclass__(cls, key, **given):
        super().__init_subclass__(**given)
        assert key not in BY_NAME, "a second class of this name"
        BY_NAME[key] = cls
        IN_ORDER.append(cls)

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, width)


class Plain(Op, key="plain"):
    def forward(self, x):
        return self.layer(x)


class Guarded(Op, key="guarded"):
    def forward(self, x):
        try:  # no graph holds this
            return self.layer(x) * 2
        finally:
            pass


@nn.model_wrapper
class Registry(nn.Module):
    def __init__(self, inputs: int = 64, classes: int = 10):
        super().__init__()
        self.stem = nn.Linear(inputs, 4)
        self.op = BY_NAME[nn.ValueChoice([*BY_NAME], label="op")](4)
        self.all = nn.Sequential(*[cls(4) for cls in IN_ORDER])
        self.made = nn.ModuleList([cls(4) for name, cls in MADE.items() if name != "Op"])
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        x = self.all(self.op(self.stem(x.flatten(1))))
        for made in self.made:
            x = made(x)
        return self.head(x)
