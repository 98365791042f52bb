"""`benchmarks/device.sh` runs through without a GPU, and says what it could not do."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import cgo_graphs  # noqa: E402
import device  # noqa: E402
from cgo_cases import CASES, Candidates  # noqa: E402
from device_table import WIDTH, table  # noqa: E402
from device_task import checked  # noqa: E402

SCRIPT = ROOT / "benchmarks" / "device.sh"
CPU = torch.device("cpu")


def command(*arguments):
    return [SCRIPT, "--python", sys.executable, *arguments]


def run(*arguments, **variables):
    """Run the script as somebody with no GPU would."""
    mine = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "", **variables}
    return subprocess.run(
        command(*arguments), env=mine, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def file(tmp_path):
    return tmp_path / "figures.json"


def read(file):
    return json.loads(file.read_text())


@pytest.mark.exhaustive
def test_every_part_has_figures_on_a_cpu(file):
    done = run("--device", "cpu", "--quick", "--json", file)
    found = read(file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["passed"] and list(found["parts"]) == list(device.PARTS)
    for name, part in found["parts"].items():
        assert part["state"] == "done", (name, part)
        assert 0 < part["seconds"] < part["share"]
        assert part.get("checks") or part.get("timings"), name
        for row in part.get("timings", ()):
            assert all(ms > 0 for ms in row["ms"].values())
            ways = {"single", "cgo", *(["processes"] if row["models"] > 1 else [])}
            assert row["ms"].keys() == row["speedup"].keys() == ways
    assert sum("no CUDA" in str(part.get("skipped")) for part in found["parts"].values()) == 5
    assert done.stdout == file.with_suffix(".txt").read_text()


@pytest.mark.exhaustive
def test_a_part_that_takes_longer_than_its_share_is_cut(file):
    done = run("--device", "cpu", "--limit", "0.5", "--only", "equality,mlp", "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [part["state"] for part in read(file)["parts"].values()] == ["cut", "cut"]
    assert "were not enough" in done.stdout and "2 cut" in done.stdout


@pytest.mark.exhaustive
def test_a_module_that_is_not_installed_is_named(tmp_path, file):
    """What a part needs is found out by the part."""
    gone = "raise ModuleNotFoundError(\"No module named 'hydra'\", name='hydra')"
    (tmp_path / "hydra.py").write_text(gone)
    given = ("--device", "cpu", "--quick", "--only", "equality", "--json", file)
    done = run(*given, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(file)["parts"]["equality"]["state"] == "skipped"
    assert "skipped: no module named 'hydra'" in done.stdout


@pytest.mark.exhaustive
def test_without_the_device_all_is_skipped(file):
    done = run("--only", "equality", "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read(file)["parts"]["equality"] | {"seconds": 0, "share": 0} == {
        "state": "skipped", "why": "no CUDA", "seconds": 0, "share": 0
    }  # fmt: skip


@pytest.mark.exhaustive
def test_a_run_that_is_ended_leaves_what_it_found(file):
    process = subprocess.Popen(
        command("--device", "cpu", "--quick", "--only", "precision,mlp", "--json", file),
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    ends = time.monotonic() + 120
    while not file.exists() and time.monotonic() < ends:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    parts = read(file)["parts"]
    assert parts["precision"]["state"] == "done" and parts["precision"]["checks"]
    assert (parts["mlp"]["state"], parts["mlp"]["why"]) == ("cut", "stopped by SIGTERM")
    assert "stopped by SIGTERM" in said and said == file.with_suffix(".txt").read_text()


def test_a_python_without_torch_is_refused(tmp_path):
    done = subprocess.run([SCRIPT, "--python", "false"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no torch in false" in done.stderr and "--python PATH" in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "equality,speed"], "--only names speed"),
        (["--device", "tpu"], "--device is 'tpu'"),
        (["--limit", "0"], "--limit is 0"),
        (["--json", "nowhere/figures.json"], "no such folder"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(given, said, capsys):
    with pytest.raises(SystemExit) as end:
        device.arguments(given)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def found_in(parts):
    bench = device.Bench(device.arguments(["--device", "cpu"]))
    bench.found["parts"] = parts
    bench.write()
    return bench


def test_a_check_that_fails_fails_the_run_and_is_seen():
    good, bad = (checked("weights", figure, 0.5)["checks"] for figure in (0.25, 0.75))
    assert not found_in({"equality": {"state": "done", "checks": [good]}}).failed
    bench = found_in({"equality": {"state": "done", "checks": [good, bad]}})
    assert bench.failed and not bench.found["passed"]
    assert table(bench.found).count("FAILED") == 1
    assert found_in({"equality": {"state": "failed", "why": "broke"}}).failed
    assert not found_in({"equality": {"state": "cut", "why": "late"}}).failed


@pytest.mark.parametrize("figure", [math.nan, math.inf])
def test_a_figure_that_is_none_meets_no_limit(figure):
    row = checked("weights", figure, 0.5)["checks"]
    assert not row["met"]
    json.dumps(row, allow_nan=False)


def test_the_table_fits_a_narrow_terminal():
    long = "a name that goes on and on, " * 4
    row = {"case": long, "models": 64, "ms": {"single": 12345.678}, "speedup": {}, "memory": {}}
    part = {
        "state": "failed", "why": long, "seconds": 123.4, "share": 410, "timings": [row],
        "checks": [checked(long, 1e-12, 1e-10, "MiB")["checks"]], "notes": [long],
        "skipped": [{"name": long, "why": long}],
    }  # fmt: skip
    lines = table(found_in({"equality": part}).found).splitlines()
    assert max(map(len, lines)) <= WIDTH, max(lines, key=len)


@pytest.mark.parametrize("name", ["tiny MLP, 16 rates", "small CNN"])
def test_a_graph_of_a_group_takes_the_steps_of_its_models(name, monkeypatch):
    """What would be recorded is called instead, each time it would be replayed."""

    class Called:
        def __init__(self, step, loss):
            self.step, self.loss = step, loss

        def replay(self):
            self.loss.copy_(self.step())

    def captured(loss, parameters):
        step = cgo_graphs._step(loss, parameters)
        for _ in range(cgo_graphs.WARM_UP):
            step()
        kept = torch.zeros(())
        return Called(step, kept), kept

    monkeypatch.setattr(cgo_graphs, "_captured", captured)
    [case] = [replace(case, size=3) for case in CASES if case.name == name]
    candidates = Candidates(case)
    candidates.plan()
    models, batches = candidates.models(), candidates.batches(CPU, 2)
    fresh = [candidates.members(models, CPU) for _ in range(3)]
    expected = cgo_graphs.eager_loss(fresh[0], batches)
    copies = [member.model for member in fresh[2]]
    ways = [cgo_graphs.graphs(fresh[1], batches[0]),
            cgo_graphs.fused_graph(candidates, copies, batches[0])]  # fmt: skip
    for way in ways:
        for batch in batches:
            way(batch)
        assert way.loss() == pytest.approx(expected, rel=1e-4)
