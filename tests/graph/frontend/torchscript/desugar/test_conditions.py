"""What Python evaluates once is evaluated once, wherever TorchScript would do it again."""

import pytest
import torch
from snippets import model, outcome

INIT = 'self.register_buffer("count", torch.zeros(()))'
HEAD = """
def number(v: int, count: torch.Tensor) -> int:
    count.add_(1)
    return v
def tensor(v: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    count.add_(1)
    return v
"""
X = torch.arange(12.0).reshape(3, 4) - 5
EXPRESSIONS = (
    "x[number(1, self.count)]",
    "x[number(0, self.count), 1]",
    "x[:, number(1, self.count)]",
    "x[..., number(-1, self.count)]",
    "x[1, number(1, self.count) % 2]",
    "x[tensor(x, self.count) > 0]",
    "x[torch.where(tensor(x, self.count) > 0)]",
    "x[tensor(x[0], self.count).long() % 3]",
    "x[:, tensor(x[0], self.count) > 0]",
    "x[number(0, self.count) :]",
    "tensor(x, self.count)[number(0, self.count)]",
    "(4, 5, 6)[number(1, self.count) % 3]",
    "[4, 5, 6][number(1, self.count)]",
    '"abc"[number(1, self.count)]',
    "number(n, self.count) % 2",
    "tensor(x, self.count) % 3",
    "(number(n, self.count) + 1) % 2 % 2",
    "x.sum(number(n, self.count) % 2)",
    "0 < number(n, self.count) < 3",
    "x * 2 + x[tensor(x, self.count.add_(1)) > 0].sum()",
    "x if n > 0 else x[number(1, self.count)]",
    "n > 0 and number(n, self.count) % 2 == 0",
    "self.count * 2 + x[0, number(1, self.count)]",
    "x[x[0].add_(1).long() % 3]",
)
STATEMENTS = (
    "x[number(1, self.count)] = 2.0",
    "x[:, number(1, self.count)] += 2.0",
    "x[tensor(x, self.count) > 0] *= 0.5",
    "x[number(0, self.count)] = self.count * 2",
    "while number(n, self.count) % 4 != 0:\n    n += 1",
    "for i in range(number(n, self.count) % 3):\n    x = x + i",
    "if number(n, self.count) % 2 == 0:\n    x = x + 1",
    "assert number(n, self.count) % 2 < 2",
    "a = [0, 1, 2, 1]\nx = x[a.pop()] + len(a)",
    "a = [0, 1, 2, 3]\nx = x + a.pop() % 3 + len(a)",
)


@pytest.mark.parametrize("body", [*(f"r = {e}\nreturn r" for e in EXPRESSIONS), *STATEMENTS])
def test_calls_are_made_as_often_as_by_python(body: str) -> None:
    if body in STATEMENTS:
        body += "\nreturn x, n"
    made = model(body.replace("return ", "return self.count + 0, "), "n: int", INIT, HEAD)
    grade, notes, difference = outcome(made, [(X, 1), (X, 4), (-X, 0)])
    assert (grade, difference) == ("graph", ""), notes


def test_what_cannot_be_given_a_name_is_kept() -> None:
    made = model("r = [x[number(i, self.count)] for i in range(2)]\nreturn r", "", INIT, HEAD)
    grade, notes, _ = outcome(made, [(X,)])
    assert grade == "basic"
    assert "twice. Assign it to a variable first" in notes
