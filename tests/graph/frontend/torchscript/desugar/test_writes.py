"""What is written to a view stays written, also where no schema says that it is a view."""

import pytest
import torch
from snippets import model, outcome

from runner.graph import convert, generate, load_source

X = torch.arange(16.0).reshape(4, 4) - 5
VIEWS = (
    "torch.atleast_2d(x)", "torch.atleast_1d(x)", "torch.broadcast_tensors(x, x)[1]",
    "x.type_as(x)", "torch.dropout(x, 0.5, False)", "torch.unsafe_chunk(x, 2)[0]",
    "x.sum_to_size(4, 4)", "torch.hsplit(x, 2)[1]", "x.view(4, 4)",
)  # fmt: skip
WRITES = (
    "v += 1", "v[:2] *= 2", "v[0] //= 2", "v[:, 1] = 7.0", "v.mul_(2)", "v[1:].sub_(1)",
    "torch.add(v, 1, out=v)", "w = v.add_(1) * 2", "if n > 1:\n    v.zero_()",
    "for i in range(n):\n    v[i % 2] -= 1", "v[0][1] = -1.0", "a, b = v.neg_(), 1",
)  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("view", VIEWS)
def test_what_is_written_to_a_view_is_written(view: str, write: str) -> None:
    made = model(f"x = x * 1\nkept = x\nv = {view}\n{write}\nreturn kept + 0", "n: int")
    grade, notes, difference = outcome(made, [(X, 1), (X, 2)])
    assert (grade, difference) == ("graph", ""), notes


@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_to_an_argument_is_written(write: str) -> None:
    made = model(f"v = torch.atleast_2d(x)\n{write}\nreturn n", "n: int")
    grade, notes, _ = outcome(made, [])
    assert grade == "graph", notes
    mine, own = X.clone(), X.clone()
    twin = load_source(generate(convert(made, frontend="torchscript"), standalone=True), {}).build()
    assert twin(mine, 2) == made(own, 2)
    assert torch.equal(mine, own)
    assert not torch.equal(mine, X)


def test_what_is_written_to_no_variable_is_kept_as_it_is() -> None:
    made = model("torch.atleast_2d(x)[0] = 1.0\nreturn 1")
    grade, notes, _ = outcome(made, [])
    assert grade == "basic"
    assert "assign it to a variable first" in notes


DRAWS = (
    "torch.rand(2)", "v = torch.randn_like(x)", "x.bernoulli(0.5)", "v, w = torch.rand(2), n",
    "v: Tensor = torch.rand(2)", "torch.dropout(x, 0.5, True)", "torch.randint(3, (2,)).sum()",
    "for i in range(n):\n    torch.randperm(4)", "if n > 1:\n    v = torch.normal(0.0, 1.0, (2,))",
    "v = torch.rand(2) if n > 1 else x", "v = x\nv = torch.rand(2)", "x.clone().uniform_()",
)  # fmt: skip


@pytest.mark.parametrize("draw", DRAWS)
def test_what_is_drawn_for_nothing_is_drawn(draw: str) -> None:
    made = model(f"{draw}\nreturn x + torch.rand(4)", "n: int", head="from torch import Tensor\n")
    grade, notes, difference = outcome(made, [(X, 1), (X, 2)])
    assert (grade, difference) == ("graph", ""), notes


@pytest.mark.parametrize(
    "write", ["torch._foreach_add_([v], 1.0)", "torch._foreach_mul_([v, x], [v, v])"]
)
def test_what_is_written_to_the_tensors_of_a_list_is_kept_as_it_is(write: str) -> None:
    grade, notes, _ = outcome(model(f"v = x * 1\n{write}\nreturn v"), [])
    assert grade == "basic"
    assert "Change them one by one" in notes
