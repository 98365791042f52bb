"""What a table and a constraint cost in a search: CPU of the whole loop, with its record."""

import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from tabular import ACCURACY, strategy_node

from runner import parts
from runner.config.compose import compose_config, freed
from runner.config.instantiate import build
from runner.config.settings import settings_from
from runner.display.progress import Silent
from runner.engines.py import PyEngine
from runner.errors import Refused
from runner.experiment import Experiment
from runner.goals import Goals
from runner.limits import Budget
from runner.space.sample import generator
from runner.stoppers.none import Never
from runner.store import Store
from runner.training.inline import Inline
from runner.trial import Setup, Trial

MEASURED = ("random", "evolution", "local_search")
NO_DATA = {"_target_": "runner.data.none.NoData", "shape": [1], "classes": 1}
SPACE = {"_target_": "spaces.nasbench201.NASBench201"}


def experiment(
    folder: Path, table: Path, strategy: Mapping[str, object], evaluations: int, seed: int = 0
) -> list[Trial]:
    """All trials of a search of NAS-Bench-201 as `python -m runner` does it, in a folder."""
    node = {"_target_": "runner.tables.nasbench201.NASBench201Table", "dataset": "cifar10",
            "mean": True, "path": str(table)}  # fmt: skip
    evaluator = {"_target_": "runner.evaluators.tabular.Tabular", "table": node,
                 "protocol": "validation"}  # fmt: skip
    setup = Setup("runner.engines.py.PyEngine", evaluator, NO_DATA,
                  (), (), folder, keep_weights=False)  # fmt: skip
    service = Inline(setup, device="cpu", threads=1, max_failures=None, fail_fast=True)
    engine, ended = PyEngine(space=SPACE), []
    with closing(service), Store(folder, ACCURACY) as store:
        store.begin({"objective": {"metric": "val/accuracy", "mode": "max"}})
        Experiment(
            space=engine.space,
            strategy=build(strategy, (), space=engine.space, seed=seed),
            stopper=Never(Goals()),
            engine=engine,
            service=service,
            store=store,
            progress=Silent(),
            on_end=ended.append,
            budget=Budget(evaluations),
            seed=seed,
            dedup=True,
        ).run()
    return ended


def evaluation_seconds(table: Path, known: Iterable[str], evaluations: int) -> dict[str, float]:
    """CPU seconds of so many evaluations by each of some strategies, and of loading the table."""
    found = {}
    for name in [name for name in MEASURED if name in known]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            experiment(Path(folder), table, strategy_node(name, {}), evaluations)
            found[name] = time.process_time() - start
    return found


def refusal_milliseconds(samples: int) -> dict[str, float]:
    """CPU of a refusal by parameters: the key of a sample, and its figure; medians."""
    found = {}
    for space in ("mlp", "resnet"):
        for engine in ("py", "base"):
            given = [f"space={space}", f"engine={engine}", "constraints=[params <= 1]"]
            settings = settings_from(compose_config(given), freed(given))
            made = parts.make_engine(settings)
            measured = parts.make_early_measures(settings, made)
            costs = []
            for number in range(samples):
                sample = made.space.random(generator(0, number))
                start = time.process_time()
                key = made.key(sample)
                try:
                    measured.figures(sample, key)
                except Refused:
                    costs.append(1000 * (time.process_time() - start))
            found[f"space={space} engine={engine}"] = statistics.median(costs)
    return found
