"""Jobs of one trial each, trained on one device here, or on several in the workers of a service."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from among import ENDS
from services import make_service

from runner.trial import Job, Report, Setup
from runner.worker import Worker

CONF = Path(__file__).parents[2] / "conf"
VARIED = ("batch_size", "clip_norm", "label_smoothing", "augment", "epochs", "checkpoint",
          "precision")  # fmt: skip
AUGMENT = {"_target_": "runner.data.augment.Augment", "crop": 1, "flip": True, "cutout": 2}


def setup_for(folder: Path, evaluator: str = "classification", train: int = 43) -> Setup:
    """A run of small trainings, of which samples choose arguments."""
    node = yaml.safe_load((CONF / "evaluator" / f"{evaluator}.yaml").read_text())
    node |= {"epochs": 2, "batch_size": 10, "lr": 0.01, "seed": 0}
    if evaluator == "classification":
        node["augment"] = None
    data = {"_target_": "replicated.Blobs", "train": train, "numbers": evaluator == "regression"}
    labels = tuple(f"evaluator.{name}" for name in VARIED)
    return Setup("runner.engines.py.PyEngine", node, data, labels, ("replicated",), folder)


def job_of(number: int = 0, cls: str = "Net", seed: int = 5, *, net=None, **chosen: Any) -> Job:
    """A job that trains a net, with these arguments of the evaluator."""
    sample = {f"evaluator.{name}": value for name, value in chosen.items()}
    space = {"_target_": f"replicated.{cls}", **(net or {})}
    recipe: Mapping[str, Any] = {"space": space, "trust": ["replicated"], "sample": {}}
    return Job([number], [seed], [sample], [recipe], parents=[None])


def run_here(setup: Setup, job: Job) -> list[Report]:
    """The reports of a job that is run on one device, in this process."""
    reports: list[Report] = []
    Worker(setup, torch.device("cpu")).run(job, reports.append, ())
    return reports


class Devices:
    """A service with one worker of several devices."""

    def __init__(self, setup: Setup, count: int, name: str = "local", **limits: Any) -> None:
        self.setup = setup
        self.service = make_service(
            name, setup, {"retries": 0, "devices_per_trial": count, **limits}
        )

    def run(self, job: Job, hear=lambda report: None) -> list[Report]:
        """The reports of a job; each is also passed to `hear`."""
        reports: list[Report] = []

        def handle(report: Report) -> None:
            reports.append(report)
            hear(report)

        self.service.submit(job)
        while not reports or reports[-1].kind not in ENDS:
            self.service.poll(handle, 1.0)
        return reports
