"""`task=export` writes a model in the formats asked for, each of which was read back."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
from searches import MLP

import runner
from runner.errors import ConfigError, RunnerError


@pytest.fixture
def run(searched, tmp_path) -> runner.Run:
    shutil.copytree(searched, tmp_path / "run")
    return runner.load(tmp_path / "run")


def exported(run: runner.Run, *overrides: str) -> list[str]:
    runner.run(["task=export", f"run={run.folder}", *overrides])
    return sorted(p.name for p in (run.folder / "exports").glob("*/*"))


def test_code_weights_and_sample_are_those_of_top(run, output):
    assert exported(run) == ["metrics.json", "model.py", "sample.json", "weights.safetensors"]
    folder = run.folder / "exports" / f"{run.best.number:04d}"
    top = run.folder / "top" / "1"
    assert json.loads((folder / "sample.json").read_text()) == run.best.sample
    assert (folder / "weights.safetensors").read_bytes() == (
        top / "weights.safetensors"
    ).read_bytes()
    source = (folder / "model.py").read_text()
    assert source.partition('"""\n')[2] == (top / "model.py").read_text().partition('"""\n')[2]
    done = subprocess.run([sys.executable, "-I", folder / "model.py"], capture_output=True,
                          text=True, cwd=run.folder)  # fmt: skip
    assert done.returncode == 0 and "parameters" in done.stdout, done.stderr
    assert re.search(r"model\.py  \S+ \S?B, loaded back, with equal outputs", output.getvalue())


def test_a_program_of_torch_is_equal_for_any_batch_size(run, output):
    assert exported(run, "format=pt2", "trial=top/2") == ["model.pt2"]
    trial = run.top(2)[1]
    program = torch.export.load(run.folder / "exports" / f"{trial.number:04d}" / "model.pt2")
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(program.module()(x), run.model(trial)(x))
    assert "read back, with equal outputs, for any batch size" in output.getvalue()


def test_onnx_is_checked_by_its_runtime(run, output):
    pytest.importorskip("onnxscript", reason="ONNX is an extra")
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX is an extra")
    assert exported(run, "format=[onnx]") == ["model.onnx"]
    [file] = (run.folder / "exports").glob("*/model.onnx")
    session = onnxruntime.InferenceSession(file)
    x = torch.randn(3, 1, 8, 8)
    [found] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert torch.allclose(torch.from_numpy(found), run.model(run.best)(x), atol=1e-5)
    assert re.search(r"outputs that differ by \S+ at most, for any batch", output.getvalue())


def test_other_files_of_a_trial_stay(run, output):
    exported(run, "format=sample")
    assert exported(run, "format=pt2") == ["metrics.json", "model.pt2", "sample.json"]
    assert not [*run.folder.glob(".export-*")]


def test_code_needs_no_weights_and_says_so(run, output):
    weights = run.weights(run.best)
    weights.unlink()
    assert exported(run, "format=[code, sample]") == ["metrics.json", "model.py", "sample.json"]
    assert "without weights, which were not kept; it was not tried" in output.getvalue()
    [file] = (run.folder / "exports").glob("*/model.py")
    compile(file.read_text(), file, "exec")
    with pytest.raises(RunnerError, match=r"were not kept, or were deleted"):
        exported(run, "format=[pt2]")


@pytest.mark.parametrize("given, text", [
    ("format=[]", r"format is \[\]; it must list some of code, weights, sample, onnx, pt2\."),
    ("format=cod", r"Did you mean 'code'\?"), ("trial=9", "trial is 9"),
    ("evaluator.lr=1", "task=export does not depend on it"),
])  # fmt: skip
def test_bad_input_is_one_clear_line_and_writes_nothing(given, text, run):
    with pytest.raises(ConfigError, match=text):
        exported(run, given)
    assert not (run.folder / "exports").exists()


def test_a_link_out_of_the_run_is_not_followed(run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (run.folder / "exports").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="leads out of it"):
        exported(run)
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_the_form_of_the_source_may_be_chosen(tmp_path, output):
    own = runner.run([*MLP, "budget.trials=1", "export.top=0"], tmp_path / "run")
    exported(own, "export.source=import")
    [file] = (own.folder / "exports").glob("*/model.py")
    assert "from spaces" in file.read_text()
    exported(own)
    assert "spaces" not in file.read_text().partition('"""\n')[2]


def test_what_fails_leaves_nothing_and_says_what_it_was(run, output):
    run.weights(run.best).unlink()
    with pytest.raises(RunnerError, match="were not kept"):
        exported(run, "format=pt2")
    assert not (run.folder / "exports").exists() and not [*run.folder.glob(".export-*")]
    (run.folder / "exports").write_text("a file")
    with pytest.raises(RunnerError) as caught:
        runner.run(["task=export", f"run={run.folder}", "format=sample"])
    assert "exports" in str(caught.value) and "has not begun" not in str(caught.value)
