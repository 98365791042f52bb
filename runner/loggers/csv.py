"""Tables as CSV files: `trials.csv` and `metrics.csv`, for pandas or a spreadsheet."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from runner.display.format import clean
from runner.loggers.logger import BestModel, LoggedRun, Logger, plain
from runner.trial import Metrics, Trial

TRIALS, METRICS = "trials.csv", "metrics.csv"
ABOUT = ("number", "state", "stage", "score", "seconds", "reason", "error", "duplicate_of",
         "parent", "repeat_of", "seed")  # fmt: skip
REPORTS = ("trial", "step", "name", "value", "time")
TableRow = Mapping[str, Any]


@final
class CsvTables(Logger):
    """Two tables: of trials, one row for each that has ended, whose columns are also the labels of
    samples, as `sample/LABEL`, and all metrics, as `metric/NAME` if there is such a column; and of
    metrics, one row for each number.

    They are written anew when a run is continued. `folder` is where a folder of the run is made for
    them; None: they are in the run's own.
    """

    def __init__(self, *, folder: str | None) -> None:
        self.folder = folder

    def begin(self, run: LoggedRun) -> None:
        place = run.place(self.folder, "")
        place.mkdir(parents=True, exist_ok=True)
        self._trials = _GrowingTable(place / TRIALS, ABOUT)
        self._metrics = _GrowingTable(place / METRICS, REPORTS)
        self._reported: set[int] = set()  # trials that have rows, and run

    def start(self, trial: Trial) -> None:
        if trial.number in self._reported:
            self._metrics.drop("trial", str(trial.number))
            self._reported.discard(trial.number)

    def report(self, trial: Trial, metrics: Metrics, time: float) -> None:
        self._reported.add(trial.number)
        row = {"trial": trial.number, "step": trial.step, "time": time}
        self._metrics.add([{**row, "name": clean(k), "value": v} for k, v in metrics.items()])

    def end(self, trial: Trial) -> None:
        self._reported.discard(trial.number)
        why = trial.failure and {"reason": trial.failure.reason, "error": clean(trial.failure.text)}
        about = {name: (why or {}).get(name, getattr(trial, name, None)) for name in ABOUT}
        sample = {f"sample/{clean(label)}": plain(v) for label, v in trial.sample.items()}
        metrics = {_column(clean(name)): value for name, value in trial.metrics.items()}
        self._trials.add([{**metrics, **sample, **about}])

    def finish(self, best: BestModel) -> None:
        return

    def close(self) -> None:
        self._trials.close()
        self._metrics.close()


def _column(metric: str) -> str:
    """Returns the column of a metric, which is none of those that each trial has."""
    taken = metric in ABOUT or metric.startswith(("sample/", "metric/"))
    return f"metric/{metric}" if taken else metric


@final
class _GrowingTable:
    """A CSV file whose rows may have new columns. Each row is in the file once it is added."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Makes an empty table, in place of an earlier one."""
        self._path = path
        self._columns = [*columns]
        self._write([], path)
        self._file = path.open("a", newline="", encoding="utf-8")

    def add(self, rows: Sequence[TableRow]) -> None:
        """Adds rows; columns that they lack are empty, and those that are new come last."""
        if new := {name for row in rows for name in row} - {*self._columns}:
            self._columns += sorted(new)
            self._rewrite(lambda row: True)
        csv.DictWriter(self._file, self._columns, lineterminator="\n").writerows(rows)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def drop(self, column: str, value: str) -> None:
        """Removes the rows with a value in a column."""
        self._rewrite(lambda row: row[column] != value)

    def _rewrite(self, keep: Callable[[TableRow], bool]) -> None:
        new = self._path.with_suffix(".new")
        with self._path.open(newline="", encoding="utf-8") as file:
            self._write((row for row in csv.DictReader(file) if keep(row)), new)
        self._file.close()
        new.replace(self._path)
        self._file = self._path.open("a", newline="", encoding="utf-8")

    def _write(self, rows: Any, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
