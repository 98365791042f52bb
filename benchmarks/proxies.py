"""Zero-cost proxies: how well they rank the cells of NAS-Bench-201, and what a screening costs.

    python benchmarks/proxies.py [--quick] [--json FILE] [--table FILE] [--only rank,cost]

Random cells are built as networks and scored on one batch of random numbers; the rank correlation
is that with their published test accuracies on CIFAR-10, after 200 epochs. `best of 8` is the mean
accuracy of the cell that a proxy chooses among 8. The cost is CPU time in a worker: of 8 candidates
that are built and scored, and of the training of one, on digits.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, final

import torch
import yaml
from proxies_network import CELLS, network
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table
from tabular import CSV

from runner import launch, parts
from runner.config.compose import compose_config, freed
from runner.config.instantiate import build
from runner.config.settings import Settings, conf_folder, settings_from
from runner.errors import ConfigError
from runner.prescreen import interval, spearman
from runner.proxies.proxy import Proxy
from runner.space.sample import generator
from runner.tables.nasbench201 import NASBench201Table
from runner.trial import Job, Trial
from runner.worker import Worker

# Over all of NAS-Bench-201, on batches of CIFAR-10 (Abdelfattah et al. 2021, Table 1).
PUBLISHED = {"grad_norm": 0.58, "snip": 0.58, "synflow": 0.74, "jacob_cov": 0.73}
# Spearman's rho that a proxy must reach here, where the batch is of random numbers.
LEAST = {"params": 0.5, "grad_norm": 0.4, "snip": 0.4, "synflow": 0.6, "naswot": 0.6,
         "jacob_cov": 0.5}  # fmt: skip
CANDIDATES, DRAWS = 8, 2000
SHARE = 5.0  # percent of the trainings that a screening saves
SPACES = ("mlp", "resnet")
CPU = torch.device("cpu")


@final
@dataclass(frozen=True)
class Size:
    """How much is measured."""

    architectures: int
    batch: int
    cells: int  # of a stage
    trials: int  # that are screened, and trained
    overrides: Sequence[str]  # of all searches


SIZE = Size(100, 64, CELLS, 3, ())
QUICK = Size(8, 8, 1, 1, ("evaluator.epochs=1",))


def proxies() -> dict[str, Proxy]:
    """All of `conf/proxy`."""
    files = sorted((conf_folder() / "proxy").glob("*.yaml"))
    return {path.stem: build(yaml.safe_load(path.read_text())) for path in files}


def architectures(table: Path, count: int) -> list[tuple[str, float]]:
    """Random cells, with their test accuracies."""
    rows = NASBench201Table("cifar10", True, str(table))
    names = Random(0).sample(sorted(rows._rows), count)
    return [(name, rows.look_up(name, 0).test["accuracy"]) for name in names]


def losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(outputs, targets, reduction="none")


def scores(size: Size, numbered: tuple[int, str]) -> dict[str, tuple[float, float]]:
    """The score of a cell by each proxy, and the seconds of CPU that took."""
    torch.set_num_threads(1)
    number, architecture = numbered
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(size.batch, 3, 32, 32, generator=rng)
    targets = torch.randint(10, (size.batch,), generator=rng)
    found = {}
    for name, proxy in proxies().items():
        torch.manual_seed(number)
        model = network(architecture, cells=size.cells)
        start = time.process_time()
        try:
            score = proxy.score(model, (inputs.clone(), targets), losses)
        except ConfigError:  # a cell without a way from its input to its output comes last
            score = -math.inf
        found[name] = score, time.process_time() - start
    return found


def best_of(pairs: Sequence[tuple[float, float]]) -> float:
    """The mean accuracy of those that a proxy chooses among 8."""
    rng = Random(0)
    chosen = (max(rng.sample(pairs, CANDIDATES))[1] for _ in range(DRAWS))
    return sum(chosen) / DRAWS


def ranked(size: Size, table: Path, processes: int) -> dict[str, Any]:
    """How well each proxy ranks."""
    cells = architectures(table, size.architectures)
    accuracies = [accuracy for _, accuracy in cells]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = [*pool.map(partial(scores, size), enumerate(name for name, _ in cells))]
    rows: dict[str, Any] = {}
    for name in found[0]:
        pairs = [(one[name][0], acc) for one, acc in zip(found, accuracies, strict=True)]
        rho = spearman(pairs)
        rows[name] = {
            "rho": rho,
            "interval": interval(rho, len(pairs), 0.95),
            "best of 8": 100 * best_of(pairs),
            "seconds": sum(one[name][1] for one in found) / len(found),
        }
    random = 100 * sum(accuracies) / len(accuracies)
    return {"proxies": rows, "random": random, "best": 100 * max(accuracies)}


def composed(space: str, proxy: str, overrides: Sequence[str]) -> Settings:
    """The settings of a screened search on digits."""
    given = freed([f"space={space}", f"screen.proxy={proxy}", "training=inline", *overrides])
    return settings_from(compose_config(given), given)


def cost(size: Size, space: str, proxy: str) -> dict[str, float]:
    """Seconds of CPU, per trial, of 8 candidates, and of one training."""
    settings = composed(space, proxy, size.overrides)
    engine = parts.make_engine(settings)
    with TemporaryDirectory() as folder:
        service = parts.make_service(settings, Path(folder))
        worker = Worker(service.setup, CPU)
        worker.prepare()
        worker.load()
        screening, training = [], []
        for number in range(size.trials + 1):
            samples = [engine.space.random(generator(0, number, i)) for i in range(CANDIDATES)]
            recipes = [engine.recipe_of(sample) for sample in samples]
            seeds = [number] * CANDIDATES
            job = Job([number], seeds, samples, recipes, action="screen")
            screening.append(seconds(partial(worker.run, job, lambda report: None, ())))
            [train] = engine.plan([Trial(number, samples[0], number)])
            if number:
                training.append(seconds(partial(worker.run, train, lambda report: None, ())))
        service.close()
    count = size.trials
    return {"screening": sum(screening[1:]) / count, "training": sum(training) / count}


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def costs(size: Size) -> dict[str, dict[str, dict[str, float]]]:
    torch.set_num_threads(1)
    launch.register_resolvers()
    return {space: {name: cost(size, space, name) for name in proxies()} for space in SPACES}


def share(figures: Mapping[str, float]) -> float:
    """Percent of the trainings of the candidates that are not trained."""
    return 100 * figures["screening"] / ((CANDIDATES - 1) * figures["training"])


def rank_table(found: Mapping[str, Any], size: Size) -> Table:
    title = (
        f"{size.architectures} cells of NAS-Bench-201, a batch of {size.batch}; random: "
        f"{found['random']:.2f} %, the best: {found['best']:.2f} %"
    )
    table = Table(title=title)
    table.add_column("proxy", no_wrap=True)
    for name in ("rho", "95 % interval", "published", "best of 8, %", "CPU of a model, s"):
        table.add_column(name, justify="right")
    for name, row in found["proxies"].items():
        low, high = row["interval"]
        known = f"{PUBLISHED[name]:.2f}" if name in PUBLISHED else ""
        figures = f"{row['best of 8']:.2f}", f"{row['seconds']:.2f}"
        table.add_row(name, f"{row['rho']:.2f}", f"{low:.2f} to {high:.2f}", known, *figures)
    return table


def cost_table(found: Mapping[str, Any]) -> Table:
    table = Table(title="Screening 8 candidates on digits, batch of 64, and training one")
    table.add_column("space", no_wrap=True)
    table.add_column("proxy", no_wrap=True)
    for name in ("screening, ms", "training, ms", "of 7 trainings saved, %"):
        table.add_column(name, justify="right")
    for space, rows in found.items():
        for name, row in rows.items():
            times = f"{1000 * row['screening']:.0f}", f"{1000 * row['training']:.0f}"
            table.add_row(space, name, *times, f"{share(row):.1f}")
    return table


def parser() -> argparse.ArgumentParser:
    made = options(__doc__ or "", "a few cells of small networks, one trial")
    made.add_argument("--table", type=Path, default=CSV, metavar="FILE",
                      help="the CSV file of NAS-Bench-201")  # fmt: skip
    made.add_argument("--only", default="rank,cost", help="parts, with commas: rank, cost")
    made.add_argument("--processes", type=int, default=2)
    return made


def main() -> None:
    args = parser().parse_args()
    size = QUICK if args.quick else SIZE
    shown, figures, targets = console(), {}, []
    if "rank" in args.only:
        figures["rank"] = ranked(size, args.table, args.processes)
        shown.print(rank_table(figures["rank"], size))
        targets += [
            Target(f"rho of {name}", figures["rank"]["proxies"][name]["rho"], least, "", True)
            for name, least in LEAST.items()
        ]
    if "cost" in args.only:
        figures["cost"] = costs(size)
        shown.print(cost_table(figures["cost"]))
        targets += [
            Target(f"{name} on {space}", share(row), SHARE, "%")
            for space, rows in figures["cost"].items() for name, row in rows.items()
        ]  # fmt: skip
    shown.print(target_table(targets))
    write(args.json, ("torch", "scipy"), {**figures, "targets": as_figures(targets)})


if __name__ == "__main__":
    main()
