"""The task `search`: what it imports, and what it does not."""

import subprocess
import sys
import textwrap

import pytest


def in_a_new_process(code):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_task_itself_needs_no_torch_so_that_workers_start_beside_its_import():
    in_a_new_process("""
        import sys
        import runner.launch
        from runner.config.instantiate import build
        from runner.tasks.search import Search
        assert "torch" not in sys.modules
    """)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("engine", ["py", "base", "cgo"])
def test_a_driver_imports_nothing_that_it_does_not_use(engine, tmp_path):
    """The compiler of torch, sympy, and scikit-learn each take up to as long as torch."""
    in_a_new_process(f"""
        import gc
        import sys
        import runner
        collector = gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()
        run = runner.run(["engine={engine}", "space=mlp", "strategy=random", "budget.trials=4",
                          "evaluator.epochs=1", "training.device=cpu"], {str(tmp_path / "run")!r})
        assert run.top(1)
        unused = {{"torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy", "optuna"}}
        assert not unused & {{*sys.modules}}
        assert (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()) == collector
    """)
