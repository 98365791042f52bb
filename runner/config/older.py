"""Configs that earlier versions recorded, in the form of this one."""

from collections.abc import Mapping
from typing import Any

# Keys that were added, and the values with which a run goes on as it began: of the whole config,
# and of nodes, by their target.
ADDED: Mapping[str, Any] = {"initial_weights": None, "report": 30, "logger": {}}
ADDED_TO: Mapping[str, Mapping[str, Any]] = {
    "runner.evaluators.classification.Classification": {"checkpoint": None},
    "runner.evaluators.regression.Regression": {"checkpoint": None},
    "runner.training.local.Local": {"devices_per_trial": 1},
    "runner.training.ray.Ray": {"devices_per_trial": 1},
    "runner.training.slurm.Slurm": {"devices_per_trial": 1},
}


def updated(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a recorded config with what this version has added to configs, and with the present
    names of keys."""
    found = {**ADDED, **config}
    export = found.get("export")
    if isinstance(export, dict) and type(export.get("standalone")) is bool:
        source = "standalone" if export["standalone"] else "import"
        rest = {key: value for key, value in export.items() if key != "standalone"}
        found["export"] = {"source": source, **rest}
    for group, node in found.items():
        if isinstance(node, dict) and isinstance(target := node.get("_target_"), str):
            found[group] = {**ADDED_TO.get(target, {}), **node}
    return found
