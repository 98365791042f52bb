"""Where a disturbed run takes place: worker processes of this machine, or a Ray cluster of it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from chaos_faults import Victim

from runner.training.leftovers import descendants

OURS = (b"runner.training", b"HostActor")  # in the commands of workers and of their hosts


@final
@dataclass(frozen=True)
class Ground:
    """The overrides of a search, the processes that work for its driver, and faults of its own."""

    overrides: Sequence[str]
    workers: Callable[[int], list[int]]
    faults: Mapping[Callable[[Victim], bool], int] = field(default_factory=dict)
    pace: float = 1.0  # by how much faults are rarer, as it takes longer to recover from one


@contextmanager
def local() -> Iterator[Ground]:
    """Two workers of the driver."""
    yield Ground(["training=local", "training.device=cpu", "training.workers=2"], descendants)


@contextmanager
def ray() -> Iterator[Ground]:
    """A cluster of a head without cores, and of two nodes with one each, which may be lost."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

    def lose_node(victim: Victim) -> bool:
        """Loses a node with all that runs on it; another one comes a little later."""
        lost: Any = nodes.pop(victim.rng.randrange(len(nodes)))
        cluster.remove_node(lost, allow_graceful=False)
        time.sleep(0.5)
        nodes.append(cluster.add_node(num_cpus=1))
        return True

    overrides = ["training=ray", f"training.address={cluster.address}"]
    try:
        yield Ground(overrides, lambda driver: _ours(driver), {lose_node: 2}, pace=1.7)
    finally:
        cluster.shutdown()


def _ours(driver: int) -> list[int]:
    """The hosts of workers and their processes, which the nodes have started."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if pid != driver and any(word in command for word in OURS):
            found.append(pid)
    return found


GROUNDS: Mapping[str, Callable[[], Any]] = {
    "local": local,
    **({"ray": ray} if find_spec("ray") is not None else {}),
}
