"""The task `search`: what it imports, and what it does not."""

import subprocess
import sys
import textwrap

import pytest

import runner
from runner.errors import ConfigError


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


TOYS = ["space._target_=toy.Net", "evaluator._target_=toy.Arithmetic", "data._target_=toy.Nothing",
        "evaluator.epochs=2", "evaluator.lr=0.5", "evaluator.sleep=0.0", "data.shape=[1]",
        "data.classes=2", "strategy=random", "training=inline", "export.top=0",
        "export.keep_weights=0", "trust=[toy,logging_toys]"]  # fmt: skip


def tables(folder):
    return {name: (folder / name).read_text() for name in ("trials.csv", "metrics.csv")}


def test_what_a_resumed_search_logs_is_what_its_record_says(tmp_path):
    run = runner.run([*TOYS, "budget.trials=2", "logger=csv"], tmp_path)
    before = tables(tmp_path)
    assert "logger" in run.record.config and before["trials.csv"].count("\n") > 2
    run = runner.run([f"resume={tmp_path}", "budget.trials=3"])
    after = tables(tmp_path)
    assert all(after[name].startswith(text) for name, text in before.items())
    rows = after["trials.csv"].splitlines()[1:]
    assert len(rows) == len(run.trials)


def test_loggers_may_be_added_and_left_out_when_a_run_is_resumed(tmp_path, capsys):
    runner.run([*TOYS, "budget.trials=1"], tmp_path)
    assert not (tmp_path / "trials.csv").exists()
    runner.run([f"resume={tmp_path}", "logger=csv", "budget.trials=2"])
    assert tables(tmp_path)["trials.csv"].count("\n") >= 3
    (tmp_path / "trials.csv").unlink()
    runner.run([f"resume={tmp_path}", "logger=null", "budget.trials=2"])
    assert not (tmp_path / "trials.csv").exists()


def test_a_logger_of_ones_own_that_fails_costs_a_line_and_no_trial(tmp_path, capsys):
    node = f"{{_target_: logging_toys.Diary, file: '{tmp_path / 'diary'}', at: report, how: fail}}"
    run = runner.run([*TOYS, "budget.trials=3", f"+logger.mine={node}"], tmp_path / "run")
    assert all(trial.scored for trial in run.trials) and len(run.trials) >= 3
    said = capsys.readouterr().out.splitlines()
    [line] = [line for line in said if line.startswith("The logger")]
    assert line.startswith("The logger mine failed and is told no more: OSError")


@pytest.mark.parametrize(("overrides", "said"), [
    (["+logger.mine={_target_: logging_toys.Diary, file: x, at: '', how: unfit}"], "is unfit"),
    (["logger=nope"], "Could not find 'logger/nope'"),
    (["logger=[csv,nope]"], "logger/nope"),
    (["logger=csv", "logger.csv.file=x"], "csv.file"),
    (["logger=csv", "logger.csv.folder=7"], "logger.csv.folder is 7"),
    (["logger.csv.folder=x"], "logger.csv"),
    (["logger=mlflow", "logger.mlflow.tracking_uri='https://me:s3cr3t@host'"], "mlflow"),
    (["logger=wandb", "logger.wandb.mode=sometimes"], "sometimes"),
    (["+logger.mine={_target_: torch.nn.ReLU}"], "logger.mine"),
    (["+logger={'../x': {_target_: runner.loggers.csv.CsvTables, folder: null}}"], "logger"),
    (["+logger={'a/b': 1}"], "logger"),
])  # fmt: skip
def test_a_logger_that_cannot_be_is_one_line_before_the_search(overrides, said, tmp_path):
    with pytest.raises(ConfigError) as caught:
        runner.run([*TOYS, *overrides], tmp_path / "run")
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value) and not (tmp_path / "run" / "run.db").exists()
