"""The benchmark of the overhead runs, and says all it promises to say."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_overhead_is_measured_and_held_to_its_targets(tmp_path):
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "overhead.py", "--quick", "--json", file],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    costs, targets = figures["costs"], figures["targets"]
    for name in [*costs, *figures["published"], *(target["name"] for target in targets)]:
        assert name in done.stdout
    assert done.stdout.count(" met ") == sum(target["met"] for target in targets)
    assert done.stdout.count(" missed ") == sum(not target["met"] for target in targets)
    assert all(cost["cpu"] > 0 and cost["first"] > 0 for cost in costs.values())
    assert costs["runner, inline"]["trials"] == figures["size"]["trials"]
    assert costs["runner, inline"]["cpu"] < costs["Optuna, SQLite storage"]["cpu"]
    assert costs["runner, local, 2 workers"]["workers"] > 0
    assert figures["resume"]["trials"] == figures["size"]["record"]
