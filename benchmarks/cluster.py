"""What a trial on a Ray cluster costs beside its training, over a local one, and beside Ray Tune.

    python benchmarks/cluster.py [--quick] [--json FILE]

Runs searches whose trials do nothing, in turn with `training=local` and `training=ray`, two workers
each: CPU milliseconds of the driver per trial, once warm. Then as many trials as the target says on
four actors, and the same number of empty trials by Ray Tune with four at once, actors reused. The
cluster is one of this machine. Needs the extra `ray`, and `ray[tune]` for Ray Tune.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any, final

from idle_search import Cost, Service, local, run
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

from runner.training.ray import Ray
from runner.trial import Setup

ACTORS = 4


@final
@dataclass(frozen=True)
class Size:
    """How much is run."""

    rounds: int
    trials: int  # of each search whose overhead is measured
    many: int  # of the searches whose throughput is


FULL = Size(rounds=3, trials=300, many=2000)
QUICK = Size(rounds=1, trials=20, many=20)


def on_ray(workers: int) -> Service:
    """A service of so many workers on the cluster that runs, which are all there."""

    def made(setup: Setup) -> Ray:
        service = Ray(
            setup, address=None, resources={"CPU": 1}, device="cpu", workers=workers, threads=1,
            ship=[], patience=0, dashboard=False, retries=0, trial_timeout=None,
            stall_timeout=None, max_failures=None, fail_fast=False,
        )  # fmt: skip
        while service.slots < workers:
            service.poll(lambda report: None, 0.1)
        return service

    return made


def overheads(size: Size) -> dict[str, Cost]:
    """What searches cost, in turn; the median of the rounds by the driver's time."""
    services = {"local, 2 workers": local, "ray, 2 workers": on_ray(2)}
    found: dict[str, list[Cost]] = {name: [] for name in services}
    for _ in range(size.rounds):
        for name, service in services.items():
            found[name].append(run(service, size.trials, 0))
    middle = (size.rounds - 1) // 2
    return {name: sorted(costs, key=_cpu)[middle] for name, costs in found.items()}


def _cpu(cost: Cost) -> float:
    return cost.cpu


def throughput(trials: int) -> float:
    """Trials per second on four actors, their start not counted."""
    cost = run(on_ray(ACTORS), trials, 0)
    return cost.trials / cost.wall


def throughput_of_tune(trials: int) -> float | None:
    """Empty trials of Ray Tune per second; None where it is not installed."""
    try:
        from ray import tune
    except ImportError:
        return None

    class Nothing(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: Mapping[str, Any]) -> None:
            return

        def step(self) -> dict[str, Any]:
            return {"score": self.config["x"], "done": True}

        def reset_config(self, new_config: Mapping[str, Any]) -> bool:
            return True

        def save_checkpoint(self, folder: str) -> None:
            return

    settings = tune.TuneConfig(num_samples=trials, max_concurrent_trials=ACTORS, reuse_actors=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(None):
        tune.Tuner(
            Nothing, param_space={"x": tune.uniform(0, 1)}, tune_config=settings,
            run_config=tune.RunConfig(verbose=0, storage_path=folder),
        ).fit()  # fmt: skip
    return trials / (time.perf_counter() - started)


def targets(costs: Mapping[str, Cost]) -> Sequence[Target]:
    """What the figures are held to."""
    here, there = costs.values()
    name = "driver of a trial on Ray over local"
    return [
        Target(f"{name}, CPU", there.cpu - here.cpu, 10.0, "ms"),
        Target(f"{name}, wall clock", 1e3 * (there.wall / there.trials - here.wall / here.trials),
               10.0, "ms"),
    ]  # fmt: skip


def tables(costs: Mapping[str, Cost], rates: Mapping[str, float | None]) -> Sequence[Table]:
    """What was measured."""
    table = Table(title="An empty trial beside its training")
    table.add_column("search", no_wrap=True)
    for name in ("trials", "driver, CPU ms", "wall clock, ms", "growth, MB"):
        table.add_column(name, justify="right")
    for name, cost in costs.items():
        wall = 1e3 * cost.wall / cost.trials
        table.add_row(name, f"{cost.trials:,}", f"{cost.cpu:.2f}", f"{wall:.2f}",
                      f"{cost.growth:.1f}")  # fmt: skip
    fast = Table(title=f"Empty trials per second, {ACTORS} at once")
    fast.add_column("search", no_wrap=True)
    fast.add_column("trials/s", justify="right")
    for name, rate in rates.items():
        fast.add_row(name, "not installed" if rate is None else f"{rate:.1f}")
    return [table, fast]


def main() -> None:
    """Measure, print the tables, and write the figures where asked to."""
    given = options(__doc__, "few trials").parse_args()
    size = QUICK if given.quick else FULL
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    warnings.simplefilter("ignore")  # Tune tells of its own deprecated parts
    ray.init(num_cpus=ACTORS, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    costs = overheads(size)
    rates = {
        f"runner, {size.many:,} trials": throughput(size.many),
        f"Ray Tune, {size.many:,} trials": throughput_of_tune(size.many),
    }
    ray.shutdown()
    found = targets(costs)
    console().print(*tables(costs, rates), target_table(found))
    figures = {
        "size": asdict(size),
        "costs": {name: asdict(cost) for name, cost in costs.items()},
        "trials per second": rates,
        "targets": as_figures(found),
    }
    write(given.json, ("torch", "ray"), figures)


if __name__ == "__main__":
    main()
