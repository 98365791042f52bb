"""Templates of statements, and blocks of them: conditions, loops, early returns."""

from random_programs.expressions import table
from random_programs.scope import Scope

SIMPLE = table({
    "make": """
        {new:f44} = {f44} | {new:f44} = {f44} | {new:f4} = {f4} | {new:int} = {int}
        {new:float} = {float} | {new:bool} = {bool} | {new:str} = {str} | {new:ints} = {ints}
        {new:bools} = {bools} | {new:num} = {num} | {new:tensors} = {tensors} | {new:i4} = {i4}
        {new:b44} = {b44} | {new:i44} = {i44} | {new:f} = {f} | {new:f224} = {f224}
        {new:b4} = {b4} | {new:floats} = {floats} | {new:f44}, {new:int} = {f44}, {int}
        {new:f44}, {new:f44} = {f44}, {f44} | {new:f4}, {new:int} = ({f4}, {int})
        {new:f4}, {new:i4} = {f44}.max(1) | {new:f44}, {new:i44} = {f44}.sort({small} % 2)
        {new:int}, {new:int} = {f44}.shape | ! {new:f4}, {new:f4}, {new:f4}, {new:f4} = {f44}
        ! {new:f4}, *_ = {f44}.unbind({small} % 2) | {new:int}, {new:int} = [{int}, {int}]
        {new:int}: int = {int} | {new:f44} = {new:f44} = {f44} * 1.5 | {new:int} = {int} or {int}
        {new:int} = {int} and {int} | {new:num} = {bool} and {int} | {new:str} = {str} or "c"
        {new:num} = min(1, 2.5) | {new:num} = round(2.5) | {new:num} = 2 ** 3
        {new:str} = str(1.0) | {new:ints} = {ints} or {ints}
    """,
    "rebind": """
        {=f44} = {f44} | {=f44} = {f44} | {=int} = {int} | {=float} = {float} | {=bool} = {bool}
        {=str} = {str} | {=f4} = {f4} | {=int} += {int} | {=int} -= 1 | {=float} *= 0.5
        {=float} += {float} | ! {=int} //= 2 | {=int} %= 4 | {=str} += {str} | {=int} *= {small}
        {=float} /= 4 | {=bool} = not {bool} | {=int} |= 4 | {=int} &= 6 | {=int} ^= 1
        {=bool} |= {bool} | {=bool} &= {bool} | {=int} <<= 1 | {=int} >>= 1 | {=float} **= 2
        {=float} %= 1.5 | ! {=float} //= 2 | {=f44}, {=f44} = {f44}, {f44} | {=b44} = {b44}
        {=ints} = {ints} | {=tensors} = {tensors}
    """,
    "alias": """
        {new:f44} = {$f44} | {new:f4} = {$f44}[{small}] | {new:f44} = {$f44}.t()
        {new:f224} = {$f44}.view(2, 2, 4) | {new:f4} = {$f44}[:, {small}] | {new:f44} = {$f44}[:]
        ! {new:f44} = {$f44}[...] | {new:f4} = {$f44}.diagonal() | {new:f44} = {$f44}.detach()
        {new:f44} = {$f44}.contiguous() | {new:f44} = {$f44}.reshape(4, 4)
        {new:f4} = {$f44}.select(0, 1) | {new:f44} = {$f44}.float()
        {new:tensors} = [{$f44}, {$f44}] | {new:b44} = {$b44} | {new:i44} = {$i44}.t()
        {new:f44} = {$f44}.transpose(0, 1) | {new:f44} = {$f44}.view_as({f44})
        {new:f44} = {$f44}.to(torch.float32) | {new:f4} = {$f44}.unbind(0)[{small}]
        {new:f44} = torch.atleast_2d({$f44}) | {new:f44} = {$f224}.flatten(0, 1)
        {new:f4} = torch.hsplit({$f44}, 4)[1].squeeze(1) | {new:ints} = {$ints}
        {new:f44} = torch.swapaxes({$f44}, 0, 1) | {new:f44} = F.dropout({$f44}, 0.0)
        {new:f44} = torch.broadcast_tensors({$f44}, {f4})[0] | {new:f44} = {$tensors}[0]
        {new:f4} = torch.narrow({$f44}, 1, {small}, 1).squeeze(1)
        {new:f4} = {$f44}.split(1, 1)[2][:, 0] | {new:f44} = torch.ravel({$f44}).view(4, 4)
    """,
    "in place": """
        {$f44} += {f44} | {$f44} -= {f4} | {$f44} *= {float} | {$f44} /= 2 | {$f44} %= 2
        ! {$f44} //= 2 | {$f44} **= 2 | {$f44} %= {f44}.abs() + 1 | {$f44} += {num}
        ! {$f44} @= {f44}.tanh() | {$f44}.add_({f44}) | {$f44}.mul_({float})
        {$f44}[{small}] = {f4} | {$f44}[{small}] += {f4} | {$f44}[:, {small}] = {float}
        {$f44}[:, {small}] *= 0.5 | {$f44}[{small}] %= 2 | ! {$f44}[:2] //= 2
        {$f44}[{small}:] -= {f4} | {$f44}[1:3] **= 2 | {$f44}[{b44}] = {float}
        {$f44}[{i4}] += {f4} | {$f44}[{i4}.sort()[0]] = {f44} | {$f44}[:, {i4}] *= {float}
        {$f44}[{bools}] = 0.5 | {$f44}[:, {bools}] += 1 | {$f44}[{b44}] += {float}
        {$f44}[{b4}] = {f4} | {$f44}[torch.where({b44})] = {float}
        {$f44}[torch.where({b44})] *= 0.5 | {$f44}[{small}, {small}] = {float}
        {$f44}[{small}][{small}] += 1 | {$f44}[..., {small}] = {f4} | {$f44}[:, 0] = {$f44}[:, 1]
        {$f44}[[True, False, True, False]] = {float} | {$f44}[[0, 2]] = {f4}
        {$f44}[{i4}, {i4}] = {float} | {$f44}[[0, 1], [2, 3]] += 1 | {$f44}[:] = {f44}
        {$f44}[...] = {float} | {$f44}[::2] += {float} | {$f44}[-1] = {f4} | {$f44}[{i4}] %= 1.5
        {$f44}.clamp_(-1, 1) | {$f44}.copy_({f44}) | {$f44}.zero_() | {$f44}.fill_({float})
        {$f44}.masked_fill_({b44}, {float}) | {$f44}.tanh_() | {$f44}.t_() | {$f44}.relu_()
        F.relu({$f44}, inplace=True) | torch.relu_({$f44}) | {$f44}.sub_({f4}, alpha=2)
        {$f44}.neg_() | {$f44}.remainder_(2) | torch.add({f44}, {f4}, out=torch.empty(4, 4))
        {$f44}.index_fill_(0, {i4}, {float}) | {$f44}[0].add_(1) | {$f44}.t().mul_({float})
        {$f44}.view(-1).add_({float}) | {$f44}[0:2, 1:3] = {f} | {$f44}.diagonal().fill_({float})
        {$f44}.detach().add_(1) | {$f44}[None, 0] = 1 | {$f4} += {f4} | {$f4}[{small}] = {float}
        {$f4} *= {f4}.tanh() | {$f4} %= 2 | {$f4}.add_({float}) | {$f4}[{b4}] = 0.5
        {$f4}[{i4}] += 1 | {$f224} *= {float} | {$f224}[0] += {f4} | {$f224}[:, 1] = {f4}
        {$f224}[..., 0] %= 2 | {$f224}[{small} % 2].add_(1) | {$f4}[1:] -= {float}
        {$b44} &= {b44} | {$b44} |= {b44} | {$b44} ^= {b44} | {$b44}[:, {small}] &= False
        {$b44}[{small}] |= True | {$b44}[{i4}] = {bool} | {$i44} += {int} % 4 | {$i44} %= 4
        {$i44} <<= 1 | {$i44} >>= 1 | {$i44} |= 1 | {$i44} &= 3 | ! {$i44} //= 2
        {$i44}[{small}] = {i4} | {$i44} *= {small} | {$i44}[:, {small}] ^= 1 | {$i44}[{b44}] = 0
        {$i44} **= 2 | {$b4} &= {b4} | {$b4}[{small}] = {bool} | {$b4} ^= True
        {$i4}.add_(1).remainder_(4) | {$f} += {f} | {$f} *= {float}
        {$f44}.index_add_(0, {i4}, {f44}.detach()) | {$f44}[{bools}] *= {float}
    """,
    "lists": """
        {$ints}.append({int}) | {$ints} += [{int}] | {$ints}[0] = {int} | {$ints}[-1] += 1
        {$ints}.extend({ints}) | {$ints}.insert(0, {int}) | {$tensors}.append({f44})
        {$tensors}[0] = {f44} | {$tensors}[0] += {f44} | {$tensors}[-1] *= {float}
        {$tensors} += [{f44}] | {$floats}.append({float}) | {$floats}[0] *= 2
        {$bools}[{small}] = {bool} | {$ints}.reverse() | {$ints}.sort()
        {$tensors}[0].add_({float}) | {$tensors}[0][{small}] = {f4}
        {$tensors}.insert({small} % 2, {f44}) | {$tensors}.reverse() | {$ints}[{small} % 2] |= 4
        {$ints} *= 2
    """,
})  # fmt: skip
HARD = 25  # one of so many statements is beyond TorchScript
GROUPS = ("make", "make", "rebind", "in place", "in place", "alias", "lists")

RARE = (
    """
{new:f44} = sum({f44} * i for i in {ints}) + {f44}
{new:f44} = (lambda t: t * {float})({f44})
{new:int} = {{"a": 1, "b": [2]}}["a"]
{new:ints} = [n for n in {ints} if n > {small}]
{new:bool} = any(n > {int} for n in {ints})
{new:int} = len(set({ints}))
{new:ints} = list(map(abs, {ints}))
{new:int} = (last := {int}) + 1
{new:float} = float(sum(f * n for f, n in zip({floats}, {ints})))
{new:f44} = torch.stack([*{f44}])
{new:int} = functools.reduce(lambda a, b: a + b, {ints})
{new:f44} = np.float32(0.5) * {f44}
""".strip()
    .replace("{{", "{")
    .replace("}}", "}")
    .splitlines()
)


def block(scope: Scope, size: int, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """So many statements; those below are indented by their makers. `returns` is the template of
    what an early return gives, None for no such return."""
    lines: list[str] = []
    for _ in range(size):
        lines += statement(scope, nesting, returns, loop=loop)
    return lines or ["pass"]


def statement(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """One statement, maybe of several lines."""
    dice = scope.dice
    if nesting and dice.chance(4):
        kind = dice.pick([condition, both, counted, each, numbered, while_, guarded])
        return kind(scope, nesting - 1, returns, loop=loop)
    if dice.chance(100):
        return [scope.fill(dice.pick(RARE)) or "pass"]
    if loop and dice.chance(12):
        return [f"if {scope.expression('bool')}:", f"    {dice.pick(['break', 'continue'])}"]
    if returns is not None and dice.chance(14):
        return [f"if {scope.expression('bool')}:", f"    return {scope.fill(returns)}"]
    made = scope.fill(SIMPLE[dice.pick(GROUPS)].pick(dice, HARD))
    return [made or f"{scope.names.new()} = 0"]


def indented(lines: list[str]) -> list[str]:
    """Lines one step deeper."""
    return [f"    {line}" for line in lines]


def _inside(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    return indented(block(scope, scope.dice.some(1, 3), nesting, returns, loop=loop))


def condition(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """if, maybe with elif and else."""
    test = scope.expression("bool")
    lines = [f"if {test}:", *_inside(scope.inner(), nesting, returns, loop=loop)]
    if scope.dice.chance(4):
        test = scope.expression("bool")
        lines += [f"elif {test}:", *_inside(scope.inner(), nesting, returns, loop=loop)]
    if scope.dice.chance(2):
        lines += ["else:", *_inside(scope.inner(), nesting, returns, loop=loop)]
    return lines


def both(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """A variable that both branches make."""
    kind, test = scope.dice.pick(["f44", "int", "bool", "str"]), scope.expression("bool")
    name = scope.names.new()
    one = [
        *_inside(scope.inner(), nesting, None, loop=False),
        f"    {name} = {scope.expression(kind)}",
    ]
    lines = [f"if {test}:", *one, "else:", f"    {name} = {scope.expression(kind)}"]
    scope.add(kind, name)
    return lines


def counted(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """A loop over a range."""
    number, inside = scope.names.new("i"), scope.inner()
    inside.add("int", number, write=False)
    head = scope.dice.pick(
        [
            "range({small})",
            "range(1, {small} + 1)",
            "range(3)",
            "range(4, 0, -2)",
            "range(len({ints}))",
        ]
    )
    return [f"for {number} in {scope.fill(head)}:", *_inside(inside, nesting, returns, loop=True)]


def each(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """A loop over a list or a tensor."""
    of, kind = scope.dice.pick(
        [("ints", "int"), ("tensors", "f44"), ("f44", "f4"), ("floats", "float")]
    )
    items, item = scope.expression(of), scope.names.new("e")
    inside = scope.inner()
    inside.add(kind, item, write=scope.dice.chance(2))
    return [
        f"for {item} in {items}:",
        *_bounded(scope, of, items),
        *_inside(inside, nesting, returns, loop=True),
    ]


def _bounded(scope: Scope, kind: str, items: str) -> list[str]:
    """An end for a loop over a list that may grow meanwhile."""
    return [f"    if len({items}) > 9:", "        break"] if items in scope.known(kind) else []


def numbered(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """A loop with enumerate, or over two lists at once."""
    number, item, inside = scope.names.new("i"), scope.names.new("e"), scope.inner()
    inside.add("int", number, write=False)
    inside.add("f44", item, write=False)
    items = scope.expression("tensors")
    head = scope.dice.pick(["enumerate(ITEMS)", "enumerate(ITEMS, {small})", "zip({ints}, ITEMS)"])
    filled = str(scope.fill(head)).replace("ITEMS", items)  # which may have braces of its own
    ends = _bounded(scope, "tensors", items)
    return [
        f"for {number}, {item} in {filled}:",
        *ends,
        *_inside(inside, nesting, returns, loop=True),
    ]


def while_(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """A loop that counts by itself."""
    number = scope.names.new("k")
    test, inside = scope.expression("bool"), scope.inner()
    inside.add("int", number, write=False)
    lines = ["    " + f"{number} += 1", *_inside(inside, nesting, returns, loop=True)]
    return [f"{number} = 0", f"while {number} < {scope.dice.some(1, 3)} and {test}:", *lines]


def guarded(scope: Scope, nesting: int, returns: str | None, *, loop: bool) -> list[str]:
    """What happens with something that may be None."""
    known = scope.known("maybe f44") + scope.known("maybe int")
    if not known:
        return condition(scope, nesting, returns, loop=loop)
    name = scope.dice.pick(known)
    inside = scope.inner()
    inside.add("f44" if name in scope.known("maybe f44") else "int", name, write=False)
    some = _inside(inside, nesting, returns, loop=loop)
    none = _inside(scope.inner(), nesting, returns, loop=loop)
    if scope.dice.chance(3):
        return [f"if {name} is None:", *none, "else:", *some]
    return [f"if {name} is not None:", *some, *(["else:", *none] if scope.dice.chance(2) else [])]
