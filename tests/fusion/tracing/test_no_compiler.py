"""Meta tensors are computed with without the compiler, unless it is really wanted."""

import subprocess
import sys
import textwrap

import pytest


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
        assert found.shape == (2, 4) and "torch._dynamo" not in sys.modules
        torch._refs.mul(torch.ones(2), 2)
        assert "torch._dynamo" in sys.modules, "no_compiler.py is not needed any more"
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
