"""Forms: every template alone in a program, with a variable of each type; nothing is random."""

from collections.abc import Iterator

from random_programs.dice import Dice
from random_programs.expressions import EXPRESSIONS
from random_programs.members import VALUES
from random_programs.program import HEAD, RandomProgram
from random_programs.scope import Names, Scope, annotation
from random_programs.statements import RARE, SIMPLE

GIVEN = {
    **{kind: values[0] for kind, values in VALUES.items() if "maybe" not in kind},
    "f224": "normal(2, 2, 4)", "f": "torch.tensor(0.75)", "i44": "torch.arange(16).view(4, 4) % 4",
    "b4": "normal(4) > 0", "floats": "[0.5, 1.5]", "int": "2", "float": "-1.25", "str": '"ab"',
    "small": "1",
}  # fmt: skip


def forms() -> dict[str, RandomProgram]:
    """Programs, by what each of them does."""
    return {text: RandomProgram(_program(lines, result), False) for text, lines, result in _all()}


def _all() -> Iterator[tuple[str, list[str], str]]:
    """(the template, lines, what is returned) of all templates."""
    for templates in EXPRESSIONS.values():
        for template in (*templates.plain, *templates.hard):
            made = _scope().fill(template, 0)
            if made is not None:
                yield template, [f"result = {made}"], "result"
    statements = [t for each in SIMPLE.values() for t in (*each.plain, *each.hard)]
    for template in (*statements, *RARE):
        scope = _scope()
        made = scope.fill(template, 0)
        if made is not None:
            yield (
                template,
                [made],
                ", ".join(name for each in scope.write.values() for name in each),
            )


def _scope() -> Scope:
    """One in which the first of all that fits is picked: a variable, where there is one."""
    scope = Scope(Dice(lambda n: 0), Names())
    for kind in GIVEN:
        scope.add(kind, kind if kind in ("f44", "f4", "f224", "f") else f"a_{kind}")
    return scope


def _program(lines: list[str], result: str) -> str:
    names = _scope().write
    parameters = ", ".join(f"{names[kind][0]}: {annotation(kind)}" for kind in GIVEN)
    body = "".join(f"        {line}\n" for line in lines)
    return f"""{HEAD}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x, {parameters}):
        f44 = self.act(x) - 0.5 + f44
{body}        return {result}


def calls():
    rng = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=rng)

    return [(normal(4, 4), {", ".join(GIVEN.values())})]
"""
