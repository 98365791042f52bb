"""Meta tensors are computed with without the compiler and sympy, unless they are really wanted."""

import importlib
import subprocess
import sys
import textwrap

import pytest
import torch

from runner.fusion.tracing.no_compiler import ANSWERS, SYMBOLIC_SHAPES, StandIn

VALUES = [True, False, 0, 1, 7, -1, (), (2, 3), [2, 3], torch.Size([2, 3]), (2, [3, 4]), (2, 3, 4)]


def run(code):
    """Runs code in a process that has not imported the compiler."""
    head = "import sys, torch\nfrom runner.fusion.tracing.no_compiler import *\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_shapes_of_meta_tensors_do_not_import_the_compiler():
    run("""
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.LayerNorm(4))
        net = net.to("meta")
        with torch.device("meta"):
            found = without_compiler(lambda: net(torch.empty(2, 3)) * 2)
        assert found.shape == (2, 4)
        names = ["torch._dynamo", "torch.fx.experimental.symbolic_shapes", "sympy"]
        assert not any(name in sys.modules for name in names)
        with torch.device("meta"):
            net(torch.empty(2, 3)) * 2
        left = [name for name in names if name not in sys.modules]
        assert not left, f"no_compiler.py need not stand for {left} any more"
    """)


@pytest.mark.exhaustive
def test_shapes_are_those_that_torch_computes_with_its_compiler_and_with_sympy():
    """A table of layers and functions, whose shapes torch computes in Python."""
    run("""
        from torch import nn
        from torch.nn import functional as F

        images, words = (2, 4, 9, 8), (3, 5, 8)
        CALLS = [
            (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), images),
            (nn.ConvTranspose2d(4, 2, 3, 2, output_padding=1), images),
            (nn.Sequential(nn.BatchNorm2d(4), nn.SiLU(), nn.Dropout(0.5)), images),
            (nn.Sequential(nn.GroupNorm(2, 4), nn.Hardswish(), nn.Softmax(1)), images),
            (nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2, ceil_mode=True)), images),
            (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), images),
            (nn.Upsample(scale_factor=2, mode="bilinear"), images),
            (nn.PixelShuffle(2), images),
            (nn.MultiheadAttention(8, 2, batch_first=True), words, words, words),
            (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), words),
            (nn.LSTM(8, 4, batch_first=True), words),
            (lambda x: x.mean((2, 3)) @ torch.ones(4, 2), images),
            (lambda x: torch.einsum("nchw,nkhw->nck", x, x), images),
            (lambda x: torch.cat([x, x + 1], 1).transpose(1, 2).reshape(2, -1), images),
            (lambda x: x.unfold(2, 3, 2).permute(0, 2, 1, 3, 4).contiguous().view(-1), images),
            (lambda x: x[:, 1:, ::2].expand(2, 3, 5, 8).sum(-1, keepdim=True).cumsum(1), images),
            (lambda x: F.pad(x, (1, 2)).chunk(2, 1)[1].sort(-1).values.topk(2).indices, images),
            (lambda x: torch.where(x > 0, x, x.exp().clamp(max=1)).std(1), images),
            (lambda x: F.scaled_dot_product_attention(x, x, x).squeeze(0).norm(), words),
            (lambda x: F.log_softmax(x, 1).roll(1, 2).flip(1).unbind(2)[0].stride(), words),
        ]

        def shapes():
            found = []
            for call, *given in CALLS:
                call = call.to("meta") if isinstance(call, nn.Module) else call
                with torch.device("meta"):
                    found.append(repr(call(*(torch.empty(shape) for shape in given))))
            return found

        quick = without_compiler(shapes)
        assert not {"torch._dynamo", "sympy"} & {*sys.modules}
        import torch._dynamo
        assert shapes() == quick and len({*quick}) > 15
    """)


@pytest.mark.filterwarnings("ignore:guard_size_oblivious will be removed:FutureWarning")
@pytest.mark.parametrize("name", ANSWERS[SYMBOLIC_SHAPES])
def test_an_answer_for_plain_numbers_is_that_of_torch(name):
    real = getattr(importlib.import_module(SYMBOLIC_SHAPES), name)
    stand_in = StandIn(SYMBOLIC_SHAPES)
    answer = getattr(stand_in, name)
    answered = 0
    for given in [*([value] for value in VALUES), *([a, b] for a in VALUES for b in VALUES)]:
        stand_in.is_wanted = False
        try:
            found = answer(*given)
        except Exception:  # torch itself will be asked, or the call is wrong
            assert stand_in.is_wanted or not _is_possible(real, given)
        else:
            assert (found, type(found)) == (real(*given), type(real(*given)))
            answered += 1
    assert answered > 1


def _is_possible(real, given):
    try:
        real(*given)
    except (AssertionError, TypeError):
        return False
    return True


@pytest.mark.exhaustive
def test_symbols_get_the_module_itself():
    run("""
        calls = []

        def use():
            calls.append(None)
            from torch.fx.experimental.symbolic_shapes import guard_or_false, sym_eq
            if len(calls) > 1:
                from torch.fx.experimental.symbolic_shapes import ShapeEnv
                size = ShapeEnv().create_unbacked_symint()
                return guard_or_false(sym_eq(size, 4)), guard_or_false(True), sym_eq((2,), [2])
            return guard_or_false(object())

        assert without_compiler(use) == (False, True, True) and "sympy" in sys.modules
    """)


def test_who_keeps_what_stood_for_a_module_gets_what_the_module_has():
    run("""
        def keep():
            import sympy
            from torch.fx.experimental import symbolic_shapes
            from torch.fx.experimental.symbolic_shapes import guard_or_false
            return sympy, sympy.Basic, symbolic_shapes, guard_or_false

        kept, Basic, shapes, guard = without_compiler(keep)
        assert "sympy" not in sys.modules
        assert not isinstance(3, Basic) and guard(True) is True
        assert not isinstance(without_compiler(lambda: 3), Basic)
        import sympy
        assert kept is not sympy and kept.Symbol is sympy.Symbol
        assert isinstance(sympy.Symbol("x"), Basic) and not isinstance("x", Basic)
        size = shapes.ShapeEnv().create_unbacked_symint()
        assert guard(size == 4) is False
    """)


@pytest.mark.exhaustive
def test_a_class_that_is_derived_while_sympy_is_not_imported_derives_from_that_of_sympy():
    run("""
        def derive():
            import sympy
            class Mine(sympy.Basic):
                pass
            return Mine

        mine = without_compiler(derive)
        import sympy
        assert issubclass(mine, sympy.Basic)
    """)


def test_what_was_called_without_the_compiler_is_what_the_compiler_finds_later():
    run("""
        def once():
            return torch._refs.mul(torch.ones(2), 2)

        without_compiler(once)
        assert "torch._dynamo" not in sys.modules
        once()
        import torch._dynamo
        assert isinstance(torch._dynamo.config.verbose, bool)
        compiled = torch.compile(lambda x: torch._refs.mul(x, 2) + 1, backend="eager")
        assert compiled(torch.ones(2)).tolist() == [3.0, 3.0]
    """)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "wanted",
    ["torch._dynamo.config.verbose", "__import__('torch._dynamo.config')._dynamo.config.verbose",
     "torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2.0"],
)  # fmt: skip
def test_who_wants_the_compiler_gets_it(wanted):
    run(f"""
        calls = []

        def use():
            calls.append(None)
            import torch._dynamo
            return {wanted}

        assert without_compiler(use) in (True, False) and len(calls) in (1, 2)
        modules = [m for m in sys.modules.values() if m.__name__ == "torch._dynamo"]
        assert len(modules) == 1 and modules[0].__file__
    """)


def test_an_error_of_the_call_is_raised_and_leaves_nothing():
    run("""
        def fail():
            raise ValueError("as it is")

        try:
            without_compiler(fail)
        except ValueError:
            assert "torch._dynamo" not in sys.modules
        else:
            raise AssertionError
    """)


def test_an_error_that_only_the_missing_compiler_causes_is_not_seen():
    run("""
        def use():
            try:
                import torch._dynamo
                torch._dynamo.reset
            except AttributeError:
                raise ValueError("no compiler")
            return 7

        assert without_compiler(use) == 7
    """)
