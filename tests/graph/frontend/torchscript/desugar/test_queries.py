"""Whether it is scripted, traced, compiled or exported: a model that is read is not."""

import pytest
import torch
from snippets import HEAD, module_of, outcome

SOURCE = (
    HEAD
    + """
import torch.jit as tj
from torch.jit import is_scripting as s
from torch.jit import is_tracing
from torch._jit_internal import is_scripting as inner
from torch.compiler import is_compiling
def asks(): return torch.jit.is_scripting()
def helper(x):
    if not s(): return x * 3
    return x
def unreadable(x):
    if s(): return x
    return (lambda v: v * 5)(x)
class Child(nn.Module):
    def forward(self, x):
        return x if s() else x * 2
class Hidden(nn.Module):
    def forward(self, x):
        if s(): return x
        return (lambda v: v * 5)(x)
class M(nn.Module):
    @staticmethod
    def st(x):
        return x * 0 if s() else x
    def __init__(self):
        super().__init__()
        self.ck=False
        self.on=True
        self.q=torch.jit.is_scripting
        self.child=Child()
        self.hidden=Hidden()
        self.lin=nn.Linear(3,3)
    def helper(self, x):
        if s(): return x * 0
        return x + 1
    @property
    def prop(self) -> int:
        return 1 if s() else 2
    @torch.jit.unused
    def eager(self, x):
        return (lambda v: v * 5)(x)
    @torch.jit.ignore
    def ign(self, x):
        return (lambda v: v * 5)(x)
    def forward(self, x):
"""
)
BODIES = (
    """
if torch.jit.is_scripting(): return x * 0
return x
""",
    """
if not torch.jit.is_scripting(): x = x * 2
return x
""",
    """
if tj.is_scripting() or x.shape[0] > 100: x = x * 2
return x
""",
    """
if not s() and not is_tracing(): x = x * 2
return x
""",
    """
if inner(): x = x * 2
return x
""",
    "return x * 0 if s() else x",
    """
y = 1 if not s() and x.dim() == 2 else 7
return x * y
""",
    "return helper(x)",
    "return unreadable(x)",
    "return self.helper(x)",
    "return self.child(x)",
    "return self.hidden(x) + 1",
    "return x * 1 if asks() else x * 2",
    "return self.st(x)",
    "return x * self.prop",
    """
if self.q(): return x * 0
return x
""",
    """
q = s
if q(): return x * 0
return x
""",
    """
if self.ck and not s(): return (lambda v: v)(x)
return x * 2
""",
    """
if self.on and not s(): return x * 3
return x * 2
""",
    """
if self.on or s(): return x * 3
return x * 2
""",
    """
if self.on and s(): return x * 3
return x * 2
""",
    """
if is_compiling(): return x * 3
if torch.onnx.is_in_onnx_export(): return x * 4
return x * 2
""",
    """
if s(): return x
else: return self.eager(x)
""",
    """
if s(): return x
else: return self.ign(x)
""",
    "return x, s()",
    """
n = s()
if n: return x * 0
return x
""",
    """
for i in range(2):
    if s(): break
    x = x + 1
return x
""",
    """
while not s() and x.sum() < 10:
    x = x + 1
return x
""",
    """
assert not s()
return x
""",
    """
n = int(s()) + 3
return x * n
""",
    "return self.lin(x) * (0 if torch.jit.is_scripting() else 1)",
    """
if self.training and not s(): return x * 2
return x
""",
    """
if x.shape[0] > 1:
    if s(): return x
    return (lambda v: v)(x)
return x
""",
    "return [torch.zeros(1), x][0 if s() else 1]",
    """
if torch._C._get_tracing_state() is None: return x * 3
return x
""",
    """
if torch._C._get_tracing_state(): return (lambda v: v)(x)
return x
""",
    "return x * 2 if x.grad is None else x",
    "return x * 2 if self.lin.weight.grad is not None else x",
    "return x if not x._base is None else x * 3",
    """
if getattr(torch.jit, "is_scripting")(): return x * 0
return x
""",
)
UNREADABLE = (  # the eager branch is a lambda, the question is handed on, or is of one tensor
    "return x * 2 if x.grad is None else x",
    "return x * 2 if self.lin.weight.grad is not None else x",
    "return x if not x._base is None else x * 3",
    "return unreadable(x)",
    "\nq = s\nif q(): return x * 0\nreturn x\n",
    "\nif x.shape[0] > 1:\n    if s(): return x\n    return (lambda v: v)(x)\nreturn x\n",
)


def made(body: str) -> torch.nn.Module:
    """A model whose forward has this body."""
    lines = [f"        {line}" for line in body.strip("\n").splitlines()]
    found: torch.nn.Module = module_of(SOURCE + "\n".join(lines) + "\n").M()
    return found


@pytest.mark.parametrize("body", BODIES)
def test_eager_branch_is_the_models(body: str) -> None:
    grade, notes, difference = outcome(made(body), [(torch.arange(6.0).reshape(2, 3) - 2,)])
    assert difference == ""
    assert grade == "graph" or ".py:" in notes
    assert (grade == "graph") == (body not in UNREADABLE), notes
