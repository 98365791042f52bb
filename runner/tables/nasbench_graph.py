"""NAS-Bench-Graph (Qin et al. 2022, https://arxiv.org/abs/2206.09166): graph neural networks."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

from runner.errors import ConfigError, Refused
from runner.tables.plain_pickle import load_plain
from runner.tables.table import Better, ResultRow, ResultTable

GraphName = Literal[
    "cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers", "arxiv", "proteins"
]
ROWS = 26_206
ROWS_OF_PROTEINS = 2_021
# As the package numbers them.
LINKS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
OPERATIONS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
BASE = len(OPERATIONS) + 1


@final
class NASBenchGraphTable(ResultTable):
    """NAS-Bench-Graph (Qin et al. 2022, https://arxiv.org/abs/2206.09166): 26,206 architectures on
    nine graphs (proteins: 2,021), each the mean of three seeds. The light tables of the package
    `nas-bench-graph` have no training times."""

    def __init__(self, dataset: GraphName) -> None:
        """Takes the name of a graph."""
        self._dataset = dataset

    @property
    def reports(self) -> Better:
        return {"val/accuracy": "max", "latency": "min", "params": "min"}

    @property
    def tests(self) -> Better:
        return {"accuracy": "max"}

    def check(self) -> None:
        wanted = ROWS_OF_PROTEINS if self._dataset == "proteins" else ROWS
        if len(self._rows) != wanted:
            raise ConfigError(
                f"The table of {self._dataset} has {len(self._rows)} rows; it must have {wanted}."
            )

    def look_up(self, architecture: str, seed: int) -> ResultRow:
        number = _number(architecture)
        figures = None if number is None else self._rows.get(number)
        if figures is None:
            raise Refused(
                f"{architecture!r} is not in NAS-Bench-Graph's table of {self._dataset!r}."
            )
        search = {
            "val/accuracy": figures["valid_perf"],
            "latency": figures["latency"],
            "params": float(round(figures["para"] * 1e6)),
        }
        return ResultRow(search, {"accuracy": figures["perf"]})

    @cached_property
    def _rows(self) -> dict[int, Any]:
        found: dict[int, Any] = load_plain(_package() / "light" / f"{self._dataset}.bench")
        return found


def _number(architecture: str) -> int | None:
    """Returns the number of an architecture such as "0012 gat,gcn,gin,skip"; None for a text that
    is none of the benchmark."""
    links, _, names = architecture.partition(" ")
    operations = names.split(",")
    if links not in LINKS or len(operations) != len(links) or not {*operations} <= {*OPERATIONS}:
        return None
    number = LINKS.index(links)
    for name in operations:
        number = number * BASE + OPERATIONS.index(name)
    return number


def _package() -> Path:
    try:
        import nas_bench_graph
    except ImportError:
        raise ConfigError(
            "NAS-Bench-Graph needs the package nas-bench-graph; install it with: "
            'pip install "nas-runner[benchmarks]"'
        ) from None
    return Path(str(nas_bench_graph.__file__)).parent
