"""Runs from Python: what they found, and what they leave behind, also under hostile names."""

import ast
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import records
import torch
from hostile import LABELS, STRINGS

import runner
from runner import results
from runner.config.instantiate import build
from runner.errors import ConfigError, RunnerError
from runner.goals import Goals, Objective
from runner.store import Store, read
from runner.trial import WEIGHTS, Proposal

MLP = ["space=mlp", "strategy=random", "evaluator.epochs=1", "budget.trials=4", "export.top=2",
       "export.keep_weights=3", "training=inline", "training.device=cpu"]  # fmt: skip
TOY = ["trust=[toy,hostile]", "evaluator._target_=toy.Arithmetic", "evaluator.epochs=1",
       "evaluator.lr=0.5", "+evaluator.sleep=0", "data._target_=toy.Nothing", "data.shape=[1]",
       "data.classes=2", "strategy=random", "training=inline", "training.device=cpu"]  # fmt: skip
HOSTILE = [*TOY, "space._target_=hostile.Hostile", "evaluator._target_=hostile.NamesIt",
           "budget.trials=12", "export.top=12", "export.keep_weights=null", "seed=1"]  # fmt: skip
ENVIRONMENT = {"PYTHONPATH": ":".join(p for p in sys.path if p), "PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A small real search on the digits."""
    return runner.run(MLP, folder=tmp_path_factory.mktemp("real") / "run")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A search whose metric, labels and candidates are hostile strings."""
    metric = "objective.metric=" + json.dumps(STRINGS[12]).replace("\\n", "\n")
    return runner.run([*HOSTILE, metric], folder=tmp_path_factory.mktemp("hostile") / 'r\'"""{x}')


def python(*arguments, cwd):
    done = subprocess.run([sys.executable, "-W", "error", *arguments], cwd=cwd, env=ENVIRONMENT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_knows_its_trials_and_its_best(found):
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]
    scores = [trial.score for trial in found.top(4)]
    assert scores == sorted(scores, reverse=True) and found.best == found.top(1)[0]
    assert found.best.metrics["val/accuracy"] == scores[0] > 0.5
    assert found.objective.metric == "val/accuracy" and found.settings.budget.trials == 4


def test_a_record_is_read_once_until_something_is_added(tmp_path, monkeypatch):
    reads = []
    monkeypatch.setattr(results, "read", lambda *given: reads.append(1) or read(*given))
    goals = Goals((Objective("val/accuracy", "max"),))
    with Store(records.write(tmp_path / "run", *records.WHOLE), goals) as store:
        assert [*store.replay()]
        run = runner.load(store.folder)
        assert run.best == run.top(1)[0] == run.trial("best") == run.trials[0]
        assert run.front == run.trials and run.gains == [] and len(reads) == 1
        run.trials.clear()  # a list of the caller's own
        store.propose(Proposal(records.SAMPLE), seed=3, key="3", duplicate_of=None)
        assert [trial.number for trial in run.trials] == [0, 1]
        assert len(run.trials) == 2 and len(reads) == 2


def test_a_loaded_run_is_the_run(found):
    assert runner.load(found.folder).trials == found.trials
    assert repr(runner.load(str(found.folder))) == f"Run({str(found.folder)!r}, 4 trials)"


def test_a_model_has_its_trained_weights_and_scores_as_recorded(found):
    evaluator, data = build(found.settings.evaluator), build(found.settings.data)
    for trial in found.top(2):
        model = found.model(trial)
        assert not model.training
        [metrics] = evaluator.score([model], data.search().validation, torch.device("cpu"))
        assert metrics["accuracy"] == trial.metrics["val/accuracy"]
        assert sum(p.numel() for p in model.parameters()) == trial.metrics["params"]


def test_a_model_can_be_asked_for_by_number(found):
    best = found.best.number
    first, second = found.model(best), found.model(found.best)
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


def test_only_the_weights_of_the_best_are_kept_and_others_are_refused_by_name(found):
    worst = found.top(4)[3]
    assert [found.weights(trial).is_file() for trial in found.top(4)] == [True, True, True, False]
    with pytest.raises(RunnerError, match=f"weights of trial {worst.number} were not kept"):
        found.model(worst)


def test_the_best_models_are_exported_as_samples_source_and_instances(found):
    best = found.top(2)
    assert found.export_top_models(2) == [trial.sample for trial in best]
    for trial, text in zip(best, found.export_top_models(2, "code"), strict=True):
        names: dict = {}
        exec(text, names)  # our own source, of a model of ours
        sizes = [p.shape for p in names["build"]().parameters()]
        assert sizes == [p.shape for p in found.model(trial).parameters()]
    assert [type(m).__name__ for m in found.export_top_models(2, "instance")] == ["MLP", "MLP"]
    with pytest.raises(ConfigError, match="formatter is 'onnx'; it must be dict, code or instance"):
        found.export_top_models(2, "onnx")


def test_top_holds_model_weights_sample_and_metrics_of_the_best(found):
    assert sorted(p.name for p in (found.folder / "top").iterdir()) == ["1", "2"]
    for place, trial in enumerate(found.top(2), start=1):
        folder = found.folder / "top" / str(place)
        assert sorted(p.name for p in folder.iterdir()) == [
            "metrics.json", "model.py", "sample.json", "weights.safetensors",
        ]  # fmt: skip
        assert json.loads((folder / "sample.json").read_text()) == trial.sample
        metrics = json.loads((folder / "metrics.json").read_text())
        assert dict(trial.metrics).items() <= metrics.items() and "test/accuracy" in metrics
        assert (folder / WEIGHTS).read_bytes() == found.weights(trial).read_bytes()


def test_the_test_split_is_scored_for_exported_models_only(found):
    assert not any("test/accuracy" in trial.metrics for trial in found.trials)


def test_an_exported_model_runs_in_a_process_of_its_own_from_anywhere(found, tmp_path):
    out = python(str(found.folder / "top" / "1" / "model.py"), cwd=tmp_path)
    params = int(found.best.metrics["params"])
    assert out.splitlines() == [f"{params:,} parameters", "(2, 1, 8, 8) -> (2, 10)"]
    script = (
        f"import sys, torch; sys.path.insert(0, {str(found.folder / 'top' / '1')!r})\n"
        "from model import load\n"
        "print(load()(torch.ones(1, 1, 8, 8)).tolist())"
    )
    again = ast.literal_eval(python("-c", script, cwd=tmp_path))
    expected = found.model(found.best)(torch.ones(1, 1, 8, 8)).tolist()
    assert again == expected


def test_a_notebook_shows_a_table(found):
    text = found._repr_html_()
    assert text.startswith("<table>") and f"{found.best.metrics['val/accuracy']:.4f}" in text


def test_a_run_from_python_refuses_what_the_command_line_refuses(tmp_path):
    for overrides, text in (
        (["budgt.trials=3"], "There is no key 'budgt.trials'"),
        (["strategy=nope"], "Could not find 'strategy/nope'"),
        (["seed=-1"], "seed is -1"),
        (["resume=nowhere"], r"There is no run in '.*nowhere'"),
        (["seed=${nope}"], "'nope' not found"),
    ):
        with pytest.raises(ConfigError, match=text):
            runner.run(overrides, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_written_over(found):
    before = found.trials
    with pytest.raises(ConfigError, match=r"contains a run already; resume="):
        runner.run(MLP, folder=found.folder)
    assert runner.load(found.folder).trials == before


def test_a_run_goes_on_from_python(tmp_path):
    overrides = [*TOY, "space._target_=toy.Net", "budget.trials=3"]
    first = runner.run(overrides, folder=tmp_path / "run")
    before = first.trials
    second = runner.run([f"resume={first.folder}", "budget.trials=5"])
    assert second.folder == first.folder and second.trials[:3] == before
    assert len(second.trials) == 5


def test_a_folder_without_a_run_and_a_run_without_results_say_so(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no run in .*: it has no run\.db"):
        runner.load(tmp_path)
    broken = [o for o in TOY if not o.startswith(("evaluator", "+evaluator", "strategy"))]
    broken += ["evaluator._target_=toy.Trouble", "+evaluator.kind=error", "+evaluator.width=1",
               "+evaluator.folder=.", "space._target_=toy.Net", "strategy=grid",
               "budget.trials=1"]  # fmt: skip
    run = runner.run(broken, folder=tmp_path / "run")
    assert run.top(3) == [] and "No trial has a result" in run._repr_html_()
    with pytest.raises(RunnerError, match=r"No trial of .* has a result yet"):
        _ = run.best


def test_hostile_strings_stay_literals_in_generated_source(hostile):
    assert hostile.objective.metric == STRINGS[12]
    folders = sorted((hostile.folder / "top").iterdir(), key=lambda p: int(p.name))
    assert len(folders) == 12
    for folder, trial in zip(folders, hostile.top(12), strict=True):
        alone = ast.parse((folder / "model.py").read_text())
        assert _calls(alone) <= {
            "Hostile", "super", "super().__init__", "nn.Linear", "self.layer",
            "Path", "Path(__file__).with_name", "str", "build", "load_model", "model.eval", "load",
            "torch.zeros", "print", "sum", "p.numel", "model.parameters", "tuple", "model",
        }  # fmt: skip
        assert _imports(alone) == {"import torch"}
        tree = ast.parse(hostile.source(trial, standalone=False).text)
        assert _calls(tree) == {"sample", "Hostile"}
        assert _imports(tree) == {"import sys"}  # the toys are not installed
        constants = {ast.unparse(n.targets[0]): n.value for n in tree.body
                     if isinstance(n, ast.Assign)}  # fmt: skip
        given = ast.literal_eval(constants["SAMPLE"])
        assert given == trial.sample and set(LABELS) < given.keys()


def _calls(tree):
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def _imports(tree):
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import)}


def test_a_hostile_model_file_runs_and_does_only_what_it_should(hostile, tmp_path):
    out = python(str(hostile.folder / "top" / "1" / "model.py"), cwd=tmp_path)
    assert out.splitlines() == ["4 parameters", "(2, 1) -> (2, 2)"]
    assert not list(tmp_path.iterdir())


def test_hostile_strings_neither_leave_the_folder_nor_reach_the_page(hostile):
    home = hostile.folder.parent
    assert not [p for p in home.rglob("*") if "owned" in p.name or "label" in p.name]
    assert [p.name for p in home.iterdir()] == [hostile.folder.name]
    page = hostile._repr_html_()
    assert "<script" not in page and "<b>" not in page and "\u202e" not in page


def test_a_weights_file_that_is_no_safetensors_is_refused_and_not_unpickled(tmp_path):
    run = runner.run([*TOY, "space._target_=toy.Net", "budget.trials=1"], folder=tmp_path / "run")

    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    for content in (pickle.dumps(Bomb()), b"", b"\xff" * 100):
        run.weights(run.best).write_bytes(content)
        with pytest.raises(RunnerError, match=r"weights.*safetensors"):
            run.model(run.best)
    torch.save({"layer.weight": Bomb()}, run.weights(run.best))
    with pytest.raises(RunnerError, match=r"weights.*safetensors"):
        run.model(run.best)
    assert not (tmp_path / "exploded").exists()
