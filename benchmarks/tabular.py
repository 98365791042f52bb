"""Strategies driven over tables in this process, without files: the loop's rules, nothing else.

A repeated sample shares the result of its first trial and costs nothing, a refused one neither;
`tests/benchmarks` proves that the history is that of `runner.experiment.Experiment`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, final

from omegaconf import OmegaConf

from runner.config.instantiate import build
from runner.duplicates import Duplicates
from runner.errors import Refused
from runner.evaluators.tabular import Tabular
from runner.goals import Goals, Objective
from runner.space.choice import Categorical
from runner.space.sample import DrawError, Sample, generator, sample_key
from runner.space.space import FlatSpace
from runner.strategies.strategy import Strategy
from runner.tables.nasbench201 import OPERATIONS as CELL_OPERATIONS
from runner.tables.nasbench201 import NASBench201Table
from runner.tables.nasbench_graph import NASBenchGraphTable
from runner.tables.table import ResultRow, ResultTable
from runner.trial import Failure, State, Trial, trial_seed
from spaces.nasbench_graph import OPERATIONS as GRAPH_OPERATIONS
from spaces.nasbench_graph import NASBenchGraph

ROOT = Path(__file__).parents[1]
CSV = ROOT.parent / "shared" / "data" / "nasbench201.csv.gz"
EDGES = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")
CELL = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
ACCURACY = Goals((Objective("val/accuracy", "max"),))


@final
@dataclass(frozen=True)
class Benchmark:
    """A table with its space, written as independent choices, which are quicker to draw."""

    kind: Literal["cells", "graphs"]
    space: FlatSpace
    table: ResultTable

    def key(self, sample: Sample) -> str:
        """As the engine's key. Raises Refused."""
        if self.kind == "cells":
            return sample_key(sample)
        if all(sample[f"op{node}"] == "skip" for node in range(4)):
            raise Refused("four skip connections are no graph neural network.")
        return _same(tuple(sample.items()))[0]

    def row(self, sample: Sample, seed: int) -> ResultRow:
        """The results of a sample's architecture."""
        if self.kind == "cells":
            return self.table.look_up(CELL.format(*(sample[edge] for edge in EDGES)), seed)
        return self.table.look_up(_same(tuple(sample.items()))[1], seed)


@cache
def _same(items: tuple[tuple[str, Any], ...]) -> tuple[str, str]:
    """The key of a graph neural network, and how the benchmark writes it."""
    same = NASBenchGraph.canonical_sample(dict(items))
    links = "".join(str(same[f"lk{node}"]) for node in (1, 2, 3))
    operations = ",".join(same[f"op{node}"] for node in range(4))
    return sample_key(same), f"0{links} {operations}"


@cache
def cells(path: Path | None) -> Benchmark:
    """NAS-Bench-201, from a CSV file, or else from its package."""
    table = NASBench201Table("cifar10", True, None if path is None else str(path))
    choices = [Categorical(edge, CELL_OPERATIONS) for edge in EDGES]
    return Benchmark("cells", FlatSpace(choices), table)


@cache
def graphs(dataset: Any) -> Benchmark:
    """NAS-Bench-Graph, on one graph."""
    choices = []
    for node in range(4):
        if node:
            choices.append(Categorical(f"lk{node}", tuple(range(node + 1))))
        choices.append(Categorical(f"op{node}", tuple(GRAPH_OPERATIONS)))
    return Benchmark("graphs", FlatSpace(choices), NASBenchGraphTable(dataset))


def strategy_node(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The node of a strategy as its YAML has it, with some keys changed."""
    option = OmegaConf.load(ROOT / "conf" / "strategy" / f"{name}.yaml")
    node: Any = OmegaConf.to_container(OmegaConf.merge(option, OmegaConf.create(dict(changes))))
    return dict(node)


def make_strategy(
    node: Mapping[str, Any], benchmark: Benchmark, seed: int, goals: Goals = ACCURACY
) -> Strategy:
    """A strategy for a benchmark."""
    made: Strategy = build(node, (), space=benchmark.space, seed=seed)
    made.goals = goals
    return made


def drive(
    strategy: Strategy,
    benchmark: Benchmark,
    *,
    seed: int,
    evaluations: int,
    goals: Goals = ACCURACY,
    protocol: Literal["validation", "paper"] = "validation",
) -> list[Trial]:
    """All trials of a search of so many evaluations, in the order in which they ended."""
    evaluator = Tabular(benchmark.table, protocol)
    duplicates = Duplicates(benchmark.space, benchmark.key, enabled=True)
    trials: list[Trial] = []
    spent, goes_on = 0, True

    def observe(trial: Trial) -> None:
        duplicates.observe(trial)
        strategy.observe(trial)

    while goes_on and spent < evaluations:
        number = len(trials)
        sample = _sample(strategy, duplicates, seed, number)
        if sample is None:
            break
        key, refusal = duplicates.key(sample)
        first = duplicates.first(key) if refusal is None else None
        trial = Trial(number, sample, trial_seed(seed, number), key=key, duplicate_of=first,
                      parent=strategy.parent)  # fmt: skip
        observe(trial)
        goes_on = not duplicates.use_up_space()
        if refusal is not None:
            trial = replace(trial, state=State.FAILED, failure=Failure.refused(refusal))
        else:
            metrics = (
                evaluator.visible(benchmark.row(sample, trial.seed))
                if first is None
                else trials[first].metrics
            )
            trial = replace(trial, state=State.FINISHED, metrics=metrics, step=1,
                            scores=goals.scores(metrics))  # fmt: skip
            spent += first is None
        observe(trial)
        trials.append(trial)
    return trials


def _sample(strategy: Strategy, duplicates: Duplicates, seed: int, number: int) -> Sample | None:
    try:
        if duplicates.are_too_many and not strategy.exhausts:
            return duplicates.new_sample(generator(seed, number, "new"))
        return strategy.propose(number)
    except StopIteration:
        return None
    except DrawError as broken:
        return broken.sample


def incumbents(trials: Sequence[Trial], benchmark: Benchmark, after: Sequence[int]) -> list[float]:
    """The test accuracy, in percent, of the best trial after so many evaluations each."""
    own = [trial for trial in trials if trial.scored and trial.duplicate_of is None]
    found = []
    for count in after:
        best = max(own[:count], key=lambda trial: (trial.scores[0], -trial.number))
        found.append(100 * benchmark.row(best.sample, best.seed).test["accuracy"])
    return found
