"""What the classes of random programs hold, and what their functions are given."""

ACTIVATIONS = ("nn.ReLU()", "nn.Tanh()", "nn.GELU()", "nn.LeakyReLU(0.2)", "nn.ReLU(inplace=True)")
LAYERS = (
    "nn.Linear(4, 4)", "nn.Linear(4, 4, bias=False)", "nn.LayerNorm(4)", "nn.BatchNorm1d(4)",
    "nn.Dropout(0.3)", "nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))",
    "nn.Identity()", "nn.Softmax(-1)",
)  # fmt: skip
SETTINGS = (  # plain attributes, by type
    ("int", ("3", "0", "2 ** 2", "-1")), ("float", ("0.5", "1.0", "0.0")),
    ("bool", ("True", "False")), ("str", ('"a"', '""')), ("ints", ("[1, 2]", "[]", "[3]")),
    ("floats", ("[0.5, 2.0]",)), ("maybe int", ("None", "4", "0")), ("num", ("1", "0.5")),
)  # fmt: skip
EXTRAS = (  # rarer things that a class holds: lines of __init__, and how they are used, by types
    (('self.table = {"a": 1, "b": 2}',), {"int": ('self.table["a"]', 'self.table.get("b", 0)')}),
    (("self.masks = [True, False, True, False]",), {"bools": ("self.masks",)}),
    (("self.again = self.act",), {"f44": ("self.again({f44})",)}),
    (("self.one = nn.Linear(4, 4)", "self.two = nn.Linear(4, 4)",
      "self.two.weight = self.one.weight"), {"f44": ("self.two(self.one({f44}))",)}),
    (("self.config = Config(3)", "self.config.extra = 2"),
     {"int": ("self.config.width", 'getattr(self.config, "extra", 0)', "self.config.extra")}),
    (("self.options = Options(scale=0.25)", "self.options.flag = True"),
     {"float": ("self.options.scale",), "bool": ('getattr(self.options, "flag", False)',)}),
    (("self.hooked = nn.Linear(4, 4)",
      "self.hooked.register_forward_hook(lambda module, given, out: out * 2)"),
     {"f44": ("self.hooked({f44})",)}),
    (("self.slow = nn.Parameter(torch.ones(4, 4))",
      "self.slow.register_hook(lambda gradient: gradient * 2)"), {"f44": ("self.slow * {f44}",)}),
    (("self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))",),
     {"f44": ("self.normed({f44})",)}),
    (("self.array = np.arange(4.0)",),
     {"float": ("float(self.array[{small}])",), "f4": ("torch.from_numpy(self.array).float()",)}),
)  # fmt: skip
TRAIN = (  # a method of the root
    "def train(self, mode: bool = True):", "    super().train(mode)", "    self.act.eval()",
    "    return self",
)  # fmt: skip
CHOICES = (  # an attribute, its value, and how it is used, by types
    ("pick", "nn.LayerChoice([nn.Linear(4, 4), nn.Identity()], label={label})",
     {"f44": ("self.pick({f44})",)}),
    ("pick", 'nn.LayerChoice({"relu": nn.ReLU, "tanh": nn.Tanh}, label={label})',
     {"f44": ("self.pick({f44})",)}),
    ("pick", 'nn.LayerChoice({"lin": lambda: nn.Linear(4, 4), "act": nn.ReLU}, label={label})',
     {"f44": ("self.pick({f44})",),
      "bool": ('hasattr(self.pick, "in_features")', "isinstance(self.pick, nn.Linear)")}),
    ("number", "nn.ValueChoice([1, 2, 3], label={label})",
     {"int": ("self.number", "self.number()"), "small": ("self.number",)}),
    ("rate", "nn.ValueChoice([0.0, 0.5], label={label})", {"float": ("self.rate", "self.rate()")}),
    ("flag", "nn.ValueChoice([False, True], label={label})",
     {"bool": ("self.flag", "self.flag()")}),
    ("wide", "nn.Sequential(nn.Linear(4, nn.ValueChoice([2, 5], label={label})), nn.Tanh(), "
             "nn.Linear(nn.ValueChoice([2, 5], label={label}), 4))",
     {"f44": ("self.wide({f44})",)}),
    ("inputs", 'nn.InputChoice(3, 2, "mean", label={label})',
     {"f44": ("self.inputs([{f44}, {f44}, {f44}])",)}),
    ("inputs", "nn.InputChoice(2, 1, label={label})", {"f44": ("self.inputs([{f44}, {f44}])",)}),
    ("deep", "nn.Repeat(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), (0, 2), label={label})",
     {"f44": ("self.deep({f44})",)}),
    ("cell", "nn.Cell([lambda *at: nn.Linear(4, 4), lambda *at: nn.Identity()], 2, 1, 2, "
             "label={label})", {"f44": ("self.cell([{f44}, {f44}])[:, :4]",)}),
    ("row", "nn.Sequential(nn.Tanh(), nn.Cell([lambda *at: nn.Linear(4, 4), lambda *at: nn.Tanh()],"
            " 2, label={label}))", {"f44": ("self.row({f44})[:, 4:]",)}),
)  # fmt: skip
PARAMETERS = (
    "f44", "int", "float", "bool", "f4", "i4", "b44", "ints", "str", "tensors", "bools",
)  # fmt: skip
DEFAULTS = {
    "int": ("3", "0", "1"), "float": ("0.5", "1.0", "0.0"), "bool": ("False", "True"),
    "str": ('"a"', '""'),
}  # fmt: skip
VALUES = {  # what the parameters of the root are given
    "int": ("0", "2", "-3", "5"), "float": ("0.0", "1.25", "-2.5"), "bool": ("True", "False"),
    "str": ('"ab"', '""'), "ints": ("[1, 2, 3]", "[4, 0]", "[]"),
    "tensors": ("[normal(4, 4), normal(4, 4)]",), "bools": ("[False, True, True, False]",),
    "i4": ("torch.tensor([3, 1, 1, 0])",), "b44": ("normal(4, 4) > 0",), "f44": ("normal(4, 4)",),
    "f4": ("normal(4)",), "maybe f44": ("None", "normal(4, 4)"), "maybe int": ("None", "2", "0"),
}  # fmt: skip
MAYBE = (  # parameters of the root that may be None, and how they are annotated
    ("maybe f44", ""), ("maybe f44", ": Optional[Tensor]"), ("maybe int", ": Optional[int]"),
)  # fmt: skip
RETURNED = (
    "f44", "f4", "f224", "f", "i44", "i4", "b44", "b4", "int", "float", "num", "bool", "str",
    "ints", "floats", "bools", "tensors",
)  # fmt: skip
