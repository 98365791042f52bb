"""Templates of expressions, by the type that they give.

`{type}` is another expression, `{$type}` a variable. Types are f44, f4, f224, f (tensors of floats
by their shape), i44, i4 (of whole numbers from 0 to 3), b44, b4 (of bools), the plain int, float,
bool, str, small (0 to 3), num (a number or a bool that only Python tells apart), and lists: ints,
floats, bools (of four), tensors. "!" marks what TorchScript does not read. Values stay small: what
multiplies is squeezed.
"""

from dataclasses import dataclass
from typing import final

from random_programs.dice import Dice

TENSORS = {
    "f44": """
        {f44} + {f44} | {f44} - {f44} | {f44} * {float} | {f44} * {f4} | -{f44} | {f44} + {float}
        torch.tanh({f44} * {f44}) | {f44} / ({f44}.abs() + 1) | {f44} % 3 | {f44} // 2
        {f44} * {int} | {f44} - {num} | {num} - {f44} | {float} - {f44} | 1 - {f44}
        {int} / ({f44}.abs() + 1) | ({f44}.abs() + 1) ** {small} | 2 ** torch.tanh({f44})
        {f44} ** 2 % 3 | torch.tanh({f44}) ** 3 | {f44} @ {f44} * 0.1 | {f44}.abs()
        torch.sigmoid({f44}) | F.relu({f44}) | F.gelu({f44}) | torch.sin({f44})
        {f44}.clamp(-1, 1) | torch.clamp({f44}, min=-{float}, max=2.0) | {f44}.t()
        {f44}.transpose(0, 1) | torch.where({b44}, {f44}, {f44})
        torch.where({f44} > 0, {f44}, {float}) | {f44}.masked_fill({b44}, {float})
        {f44}.softmax(-1) | F.softmax({f44}, dim={small} % 2) | {f44}[{i4}] | {f44}[:, {i4}]
        {f44}[[3, 1, 0, 2]] | {f44}[:, [0, 0, 1, 3]] | {f44}[torch.tensor([1, 0, 3, 2])]
        {f44}.flip(0) | {f44}.roll({small}, 1) | {f44}[None][0] | {f44}[..., :]
        {f44}[:{small} + 4] | {f224}.reshape(4, 4) | {f224}.view(4, 4) | {f224}.flatten(0, 1)
        torch.cat([{f44}[:2], {f44}[2:]]) | torch.cat([{f44}[:, 1:], {f44}[:, :1]], 1)
        torch.stack([{f4}, {f4}, {f4}, {f4}]) | torch.stack([{f4}, {f4}, {f4}, {f4}], dim=-1)
        {f4}[:, None] * {f4} | {f4}.expand(4, 4) * 1.0 | torch.outer({f4}, {f4}).tanh()
        torch.einsum("ij,jk->ik", {f44}, {f44}) * 0.1 | torch.zeros_like({f44}) + {float}
        {f44}.new_full((4, 4), {float}) | torch.ones(4, 4) * {num} | torch.full((4, 4), {float})
        {f44}.clone() | {f44}.detach() | {f44}.float() | {b44}.float() | {i44}.float()
        {i44} * {float} | {i44} / 2 | {f44} if {bool} else {f44} | {f44}.cumsum({small} % 2)
        {f44}.sort(-1)[0] | {f44}.round() | {f44}.floor() | torch.round({f44}, decimals=1)
        torch.maximum({f44}, {f44}) | {f44}.sign() | {b44} * {f44} | torch.fmod({f44}, 2)
        torch.remainder({f44}, 2) | torch.lerp({f44}, {f44}, 0.5)
        torch.addcmul({f44}, {f4}, {f4}, value=0.5) | F.dropout({f44}, 0.5, self.training)
        F.layer_norm({f44}, [4]) | {f44}.mul({float}).add({f44}, alpha=2)
        {f44}.unsqueeze(0).squeeze(0) | {f44}.chunk(2, 1)[0].repeat(1, 2)
        {f44}.unbind(1)[{small}].repeat(4, 1)
        torch.arange(16, dtype=torch.float32).view(4, 4) * 0.1 | {f44} + sum({ints})
        {f44} * len({ints}) | {f44}.size(0) * {f44} | {f44}.shape[-1] - {f44}
        {f44}.where({b44}, {f44}) | {f44}.tril() | F.pad({f44}[1:], [0, 0, 1, 0])
        F.pad({f44}, (1, 0))[:, :4] | {f44}[:, -1:] + {f44} | torch.stack({tensors}).sum(0)
        torch.cat({tensors}).view(-1, 4, 4).mean(0) | {tensors}[0] | {tensors}[-1]
        {f44}.index_select({small} % 2, {i4}) | {f44}.gather(1, {i44})
        {f44}.scatter(1, {i44}, {f44}.detach()) | {f44}.index_fill(0, {i4}, {float})
    """,
    "f4": """
        {f44}[{small}] | {f44}.sum(0) | {f44}.mean({small} % 2) | {f44}[:, {small}] | {f4} + {f4}
        {f4} * {float} | torch.tanh({f4} * {f4}) | {f44}.max(1)[0] | {f44}.amax(0)
        {f44}.diagonal() | {f44}[{bools}].sum(0) | {f44}[:, {bools}].sum(1) | {f4}[{i4}]
        {f44}[{i4}, {i4}] | ! {f44}[range(4), {i4}] | {f44}[[0, 1, 2, 3], [1, 0, 3, 2]] | {f44}[-1]
        {f44}[{small}:].sum(0) | {f44}[::2].sum(0) | {f44}[..., {small}]
        {f44}[1:3, {small}].repeat(2) | {f4}[[True, False, True, False]].repeat(2)
        {f44}[torch.tensor([True, False, True, True])].sum(0) | {f224}[0, 1]
        {f224}[1, {small} % 2] | {f224}.sum((0, 1)) | {f224}[:, -1].mean(0)
        torch.tensor([1.0, -0.5, {float}, 2.0]) | torch.tensor({floats}).sum() + {f4}
        torch.arange(4) * {float} | {f4} - {f} | {f4}.flip(0) | ! {f44}.norm(dim=1)
        {b44}.sum(0) * {float} | torch.linspace(-1, 1, 4) | {f4}.masked_fill({b4}, {float})
        {f44}[{b4}].sum(0) | {f44}[:, None, {small}].squeeze(1) | torch.where({b4}, {f4}, 0.0)
        {f4} if {bool} else {f44}[{small}] | {f44}[{i4} > 1].sum(0) | {f44}[({i4}, {i4})]
    """,
    "f224": """
        {f44}.view(2, 2, 4) | {f44}.reshape(2, 2, -1) | {f224} + {f4} | {f224}.transpose(0, 1)
        {f224}.permute(1, 0, 2) | {f224} * {float} | {f44}.unflatten(0, (2, 2))
        torch.stack([{f44}[:2], {f44}[2:]]) | {f224}[[1, 0]] | {f224}[:, [1, 0]]
        {f224}[[True, True]] | {f224}.flip([0, 1]) | torch.tanh({f224})
        {f44}[None, :2].repeat(2, 1, 1) | {f224}.swapaxes(0, 1)
        {f224} - {f224}.mean(-1, keepdim=True)
    """,
    "f": """
        {f44}.sum() | {f4}.mean() | {f44}[{small}, {small}] | {f44}[{b44}].sum() | {f44}.max()
        {f4}[{small}] | {f44}[torch.where({b44})].sum() | {f44}[torch.where({f44} > 0.2)].sum()
        torch.tensor({float}) | {f} + {f} | {f} * {float} | {f44}[{f44} > 0].sum()
        torch.tanh({f} * {f}) | {f44}[{b44} & {b44}].sum() | {f44}[~{b44}].sum()
        ! {f44}[{b44}.nonzero(as_tuple=True)].sum() | torch.dot({f4}, {f4}).tanh() | {f44}.std()
        {f4}[{small}:].sum() | {f44}[{bools}][:, {bools}].sum()
    """,
    "i44": """
        {b44}.long() | {i4}.expand(4, 4) + 0 | ({f44} * 3).long() % 4 | {i44} % 4
        ({i44} + {int}) % 4 | {i44}.t() | ({i44} * {int}) % 4 | torch.where({b44}, {i44}, 0)
        {f44}.argsort(-1) | 3 - {i44} | ({i44} // 2) | ({i44} ^ 1) | ({i44} & 3)
        (({i44} << 1) % 4) | ({i44} >> 1) | {f44}.argsort(0) | torch.arange(16).view(4, 4) % 4
        ({i44}|{i44}) % 4 | (-{i44}) % 4 | {i44}.clamp(0, 2)
    """,
    "i4": """
        {f4}.argsort() | torch.tensor([2, 0, 3, 1]) | torch.arange(4) | {i44}[{small}]
        ({i4} + {small}) % 4 | {i4}.flip(0) | {f44}.argmax({small} % 2) | {b4}.long() | 3 - {i4}
        ({i4} * {int}) % 4 | torch.tensor([{small}, 1, {small}, 0]) | {i44}.max(0)[0] | {i4}[{i4}]
        (~{i4}) % 4 | torch.where({b4}, {i4}, 1)
    """,
    "b44": """
        {f44} > 0 | {f44} < {f44} | {i44} == {i44} | ~{b44} | {b44} & {b44} | ({b44}|{b44})
        {i44} != {int} | {f44} >= {float} | {b44} ^ {b44} | ! {f44}.bool() | {b44}.t()
        torch.logical_not({b44}) | {b44}.clone() | ({f44} > -1) & ({f44} < {num})
        torch.ones(4, 4, dtype=torch.bool).tril() | {b44}.logical_or({b44}) | {f44}.isnan()
        ({f44} > 0).logical_and({b44}) | {b44} == {b44} | {b44}[{i4}]
    """,
    "b4": """
        {f4} > 0 | {f44}.sum(1) < {float} | {b44}[{small}] | {i4} != {small} | ~{b4} | {b4} & {b4}
        torch.tensor({bools}) | torch.tensor([True, False, True, False]) | {b44}.any(0)
        {b44}.all(1)
    """,
}  # fmt: skip

PLAIN = {
    "int": """
        {int} + {int} | {int} - {int} | {int} * {small} | {int} // 2 | {int} % 3 | -{int}
        {int} // -3 | {int} % -4 | {f44}.size(0) | {f44}.shape[1] | {f224}.dim() | len({ints})
        abs({int}) | max({int}, {int}) | min({int}, {int}, 3) | {int} or {int} | {int} and {int}
        {int} if {bool} else {int} | int({float}) | int({bool}) | {small} ** 2 | 2 ** {small}
        2 ** 3 | 7 // 2 | -7 // 2 | -7 % 3 | round({float}) | round(2.5) | {ints}[{small} % 2]
        {ints}[-1] | sum({ints}) | {int} & 3 | {int} ^ 1 | ({small} << 2) | (5 >> 1) | ! ~{int}
        ({int}|4) | int(-2.5) | {f44}.numel() | int({f} > 0) | {f44}.argmax().item()
        math.floor({float}) | math.ceil({float}) | len({str}) | max({ints}) | min({ints})
        {small} + 1 | {int} - {small} * 2 | len({tensors}) | ord("a") - 95 | {int} // ({small} + 1)
        {int} % ({small} + 1) | int("12") // 5 | -{small} | ! +{int} | {f44}.ndim
        {b44}.sum().item() | ({int} or 4) | ({int} and 2) | round(-1.5) | 2 ** 2 ** 1
        divmod({int}, 3)[1] | True + {int} | {int} * True | len([{int}, {int}])
        (1, 2, 3)[{small} % 3] | [4, 5, 6][{small} % 3] | 10 % 4 * -3
    """,
    "float": """
        {float} + {float} | {float} - {float} | {float} * 0.5 | {int} / 2 | {int} / 4 | -{float}
        {float} / 4 | float({int}) | {float} ** 2 % 3 | 2 ** -1 | 1 / 3 | 0.1 + 0.2 | {float} % 1.5
        {float} // 2 | math.sin({float}) | math.sqrt(abs({float})) | max({float}, {float})
        min({float}, 0.5) | {float} or 0.75 | {float} and {float} | {float} if {bool} else {float}
        {f}.item() % 5 | abs({float}) | ! round({float}, 1) | float({bool}) | {floats}[{small} % 2]
        sum({floats}) % 7 | math.pi / {f44}.size(0) | -7 / 2 | 2.0 ** {small} | {int} * 0.25
        {float} * {small} | math.exp(-abs({float})) | float("1.5") | 7.5 // 2 | -7.5 % 2 | 3 / 1
        {f44}[0, {small}].item() % 2 | float({f} > 0) | ({float} or {float}) | 2 ** 0.5
        1e-3 * {int} | math.tanh({float})
    """,
    "num": """
        min(1, 2.5) | max(2, 1.5) | {bool} and {int} | {bool} or {int} | {int} or {float}
        {int} and 0.5 | ! {int} if {bool} else {float} | round(1.5) | 2 ** 3 | abs(-3)
        max({int}, 0.5) | {bool} or {float} | True and 2 | ! sum([1, 2.5]) | min({int}, {float})
        {bool} + {bool} | -{bool} | not {int} | 0 or 1.5 | 2 ** {small} | {float} and {int}
        {int} ** 2 % 5 | 4 ** 0.5 | 7 // 2.0 | 7 % 2.5 | divmod(7, 2)[0] | round({float})
        int(2.0) | 10 // 3
    """,
    "bool": """
        {int} > {int} | {float} < {float} | {bool} and {bool} | {bool} or {bool} | not {bool}
        {int} == {small} | {int} % 2 == 0 | self.training | {small} < {int} < 5 | {int} != {int}
        {f}.item() > 0 | {int} in [1, 2, 3] | {f44}.is_floating_point() | bool({int})
        {str} == "a" | {f44}.size(0) == 4 | isinstance({$int}, int) | bool({f} > 0)
        {int} >= {float} | {bool} if {bool} else {bool} | {bool} == {bool} | not {int}
        {str} != {str} | ! torch.is_tensor({$f44}) | {f44}.dtype == torch.float32
        {ints} == [1, 2] | {int} not in {ints} | bool({float}) | {bool} and {int} > 1 or {bool}
        torch.jit.is_scripting() | not torch.jit.is_scripting() | {b44}.any().item()
        isinstance({$f44}, torch.Tensor) | {float} == {int} | {int} is not None | True
        {bool} != {bool} | {f44}.requires_grad and {bool} | torch.jit.is_scripting() or {bool}
        torch.jit.is_tracing() | len({ints}) > {small} | "a" in {str} | {str} < "b"
    """,
    "str": """
        "a" | "b" | {str} + {str} | str({int}) | {str}.upper() | ! "x" * {small}
        {str} if {bool} else {str} | str(1.0) | f"{{$int}}" | f"n{{$int}}-{{$str}}"
        "{}".format({int}) | "%d" % {int} | {str} or "c" | {str} and "d" | str({bool}) | {str}[:1]
        {str}.replace("a", "b") | "-".join(["a", {str}]) | str(0.5) | str({float} > 0)
        {str}[::-1] | str({small} / 2) | {str}.strip("a") | "ab"[{small} % 2] | {str}.title()
        str(2 ** 3) | "%s" % {str} | ! f"{{$int}:02d}" | str(None)
    """,
    "small": """
        0 | 1 | 2 | 3 | {int} % 4 | abs({int}) % 3 | len({ints}) % 4 | {small} // 2 | 3 - {small}
        min({small}, 2) | int({bool}) | {f44}.size(1) - 2
    """,
    "ints": """
        [1, 2] | [{int}, {int}] | {ints} + [{int}] | [{int}, {int}, 3]
        [i * 2 for i in range({small} + 1)] | {ints}[:1] + {ints} | list(range(1, {small} + 2))
        [{small}] * 3 | [i for i in {ints}] | {ints} or [5] | {ints} if {bool} else {ints}
        sorted({ints}) | [len({ints}), {int}] | {ints}[::-1] | list({f44}.shape)
        [int(i > 1) for i in {ints}]
    """,
    "floats": """
        [0.5, 1.5] | [{float}, {float}] | [i * 0.5 for i in range(1, 4)] | {floats} + [{float}]
        [{float} * f for f in {floats}] | {floats} if {bool} else {floats} | [1.0, {int} / 2]
        {floats} or [0.25, 2.0]
    """,
    "bools": """
        [True, False, True, False] | [{bool}, True, {bool}, False] | [i > 1 for i in range(4)]
        [not b for b in {bools}] | ! [i % 2 == 0 for i in {i4}.tolist()] | {bools}[::-1]
        [{int} > 1] * 4 | {bools} if {bool} else {bools} | [True] * 2 + [False] * 2
    """,
    "tensors": """
        [{f44}] | [{f44}, {f44}] | [{f44} * i for i in range(1, 3)] | {tensors} + [{f44}]
        [t + 1 for t in {tensors}] | list({f224}.view(4, 4)[None])
    """,
}  # fmt: skip

LEAVES = {  # where nothing else fits, and no variable is there
    "f44": ("x", "y", "torch.ones(4, 4)"),
    "f4": ("torch.ones(4)", "torch.linspace(0, 1, 4)"),
    "f224": ("torch.ones(2, 2, 4)",),
    "f": ("torch.tensor(0.5)", "torch.ones(())"),
    "i44": ("torch.arange(16).view(4, 4) % 4",),
    "i4": ("torch.tensor([2, 0, 3, 1])", "torch.arange(4)"),
    "b44": ("torch.eye(4) > 0",),
    "b4": ("torch.tensor([True, False, True, False])",),
    "int": ("1", "2", "0", "3", "-1", "5"),
    "float": ("0.5", "1.5", "-0.25", "0.0", "2.0"),
    "num": ("1", "0.5"),
    "bool": ("True", "False"),
    "str": ('"a"', '"b"', '""'),
    "small": ("0", "1", "2", "3"),
    "ints": ("[1, 2]", "[0, 3, 1]"),
    "floats": ("[0.5, 1.5]",),
    "bools": ("[True, False, True, False]",),
    "tensors": ("[torch.ones(4, 4)]",),
}  # fmt: skip


@final
@dataclass(frozen=True)
class Templates:
    """Templates of one kind: those that TorchScript reads, and a few that it does not."""

    plain: tuple[str, ...]
    hard: tuple[str, ...]

    def pick(self, dice: Dice, rarity: int) -> str:
        """One of them; a hard one once in so many times."""
        return dice.pick(self.hard if self.hard and dice.chance(rarity) else self.plain)


def table(texts: dict[str, str]) -> dict[str, Templates]:
    """Templates by kind, from lines of them with bars between; hard ones are marked by "!"."""
    made = {}
    for kind, text in texts.items():
        every = [each.strip() for line in text.strip().splitlines() for each in line.split(" | ")]
        hard = tuple(each.removeprefix("! ") for each in every if each.startswith("! "))
        made[kind] = Templates(tuple(each for each in every if not each.startswith("! ")), hard)
    return made


EXPRESSIONS = table(TENSORS | PLAIN)
