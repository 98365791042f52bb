"""The evaluator `tabular`: looks up published results of a benchmark instead of training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, final

import torch
from torch import nn

from runner.data.data import Batch, SearchData, Split
from runner.errors import ConfigError
from runner.evaluators.evaluator import Evaluator, TrainingRun
from runner.goals import Direction
from runner.tables.table import ResultRow, ResultTable
from runner.trial import Metrics

Protocol = Literal["validation", "paper"]
SEARCHED_ON_TEST = (
    "Protocol paper: as in the published harness, the search could see the test split, so its test "
    "figures are those of a search on test, not of one that was validated."
)


@final
class Tabular(Evaluator):
    """An evaluator that looks up each model's `architecture`, a text, in a table.

    A search sees the validation results, and costs such as latency; test results are those of the
    winner. With the protocol "paper", it sees the test results as `test/accuracy`, too, which the
    published searches of some benchmarks were led by.
    """

    trains = False

    def __init__(self, table: ResultTable, protocol: Protocol) -> None:
        self._table = table
        self._protocol = protocol

    @property
    def notice(self) -> str:
        return SEARCHED_ON_TEST if self._protocol == "paper" else ""

    def reported(self) -> Mapping[str, Direction]:
        tests = self._table.tests if self._protocol == "paper" else {}
        return {**self._table.reports, **{f"test/{name}": mode for name, mode in tests.items()}}

    def check(self) -> None:
        if self._protocol == "paper" and not self._table.tests:
            raise ConfigError(
                "evaluator.protocol is 'paper', but this table has no test results; use "
                "'validation'."
            )
        self._table.check()

    def rehearse(self, make: Callable[[], nn.Module], batch: Batch, classes: int) -> None:
        self._row(make(), 0)

    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        rows = [self._row(model, seed) for model, seed in zip(models, run.seeds, strict=True)]
        run.report([self.visible(row) for row in rows])

    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        return [self._row(model, 0).test for model in models]

    def _row(self, model: nn.Module, seed: int) -> ResultRow:
        architecture = getattr(model, "architecture", None)
        if not isinstance(architecture, str):
            raise ConfigError(
                f"{type(model).__name__} has no text `architecture` to look up in a table; choose "
                "the space of the benchmark, such as space=nasbench201."
            )
        return self._table.look_up(architecture, seed)

    def visible(self, row: ResultRow) -> Metrics:
        """Returns what a search sees of a row."""
        if self._protocol == "validation":
            return row.search
        return {**row.search, **{f"test/{name}": value for name, value in row.test.items()}}
