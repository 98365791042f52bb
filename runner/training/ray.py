"""Training on a Ray cluster: one that exists, or one that is started on this machine."""

import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, final

from runner.another_process import search_path
from runner.errors import ConfigError, RunFailed, as_yaml, one_line, require
from runner.training.devices import allotted, check_count
from runner.training.host_actor import HostActor
from runner.training.pulse import Pulse
from runner.training.ray_cluster import connect, imported
from runner.training.service import Limits
from runner.training.shipping import found_of
from runner.training.trial_files import Files, Seal, TrialFiles
from runner.training.worker_handle import WorkerHandle
from runner.training.worker_host import Parcel
from runner.training.worker_pool import STILLBORN, WorkerPool
from runner.trial import Failure, Job, Setup

LOOK, CLOSE_LOOK = 2.0, 0.25  # seconds between two looks at the cluster
AFTERMATH = 6.0  # seconds after a loss in which it is looked at closely
ANSWER = 4.0  # seconds in which a host kills its worker, or is given up itself
MOST, DIGITS = 2**53, 4  # of the amount of a resource
DEAF = 300.0  # seconds without a parcel of a host, after which it is, too
CLOSING = 2.0  # seconds in which hosts end their workers
ROOM = 20.0  # seconds in which an actor that there is room for begins
WORD = 30.0  # seconds between two words on waiting
LOST = 60.0  # seconds to wait for room when the last worker was lost
log = logging.getLogger(__name__)


@final
class RayWorker(WorkerHandle):
    """A worker of a node, and the actor that is its host."""

    def __init__(self, ray: ModuleType, actor: Any, node: str, folder: Path | None) -> None:
        """`folder` is that of the run if the node does not see it."""
        super().__init__(node)
        self._ray = ray
        self.actor = actor
        self._folder = folder
        self._files: TrialFiles | None = None  # of the job, where they travel
        self._parcel: Parcel | None = None  # not opened yet
        self._death: Failure | None = None
        self._killed = float("inf")  # the monotonic second
        self._answered = time.monotonic()
        self._pulse = Pulse(ray, actor)
        self.is_lost = False  # the actor, with its worker
        self.next = actor.hear.remote()  # a parcel to come

    @property
    def origin(self) -> object:
        return self

    @property
    def gone(self) -> bool:
        return self._death is not None

    def run(self, job: Job, attempt: int) -> None:
        self._files = None if self._folder is None else TrialFiles(self._folder)
        super().run(job, attempt)

    def say(self, message: Mapping[str, Any]) -> None:
        files: Files = {}
        if self._files is not None and "trials" in message:
            files = self._files.pack(Job(**message).reads)
        self.actor.say.remote(message, files)

    def receive(self) -> None:
        """Takes the parcel that has come, and waits for the next one."""
        try:
            parcel: Parcel = self._ray.get(self.next)
        except self._ray.exceptions.RayError as error:
            self._lose(f"its node or actor was lost: {one_line(error)}")
            return
        self._parcel, self._answered = parcel, time.monotonic()
        self._pulse.heard()
        if parcel.death is None:
            self.next = self.actor.hear.remote()
        else:
            self._death = Failure(**parcel.death)
            self.next = None

    def _lines(self) -> Iterator[bytes]:
        parcel, self._parcel = self._parcel, None
        if parcel is None:
            return
        if self._files is not None and self.job is not None:
            self._files.unpack(parcel.files, self.job.trials)
        yield from parcel.lines

    def look(self, now: float) -> None:
        """Gives up a host that does not answer, such as one whose machine is out of reach: each
        says something every second, if only that there is nothing to say."""
        if self.gone:
            return
        is_deaf = now > self._killed + ANSWER or now > self._answered + DEAF
        if is_deaf or self._pulse.has_stopped(now):
            self._lose("its host does not answer")

    def terminate(self) -> None:
        self.actor.terminate.remote()

    def kill(self) -> None:
        self._killed = time.monotonic()
        self.actor.kill.remote()

    def _give_up(self, why: str) -> None:
        self._death = Failure("crashed", why)

    def _lose(self, why: str) -> None:
        self.is_lost, self.next = True, None
        self._give_up(why)

    def successor(self) -> "RayWorker":
        """Returns the worker that follows, of the same host."""
        return RayWorker(self._ray, self.actor, self.device, self._folder)

    def death(self) -> Failure:
        return self.doomed or self._death or Failure("crashed", "the worker is unknown")


@final
@dataclass
class Coming:
    """A worker that is to come, and the actor that is to be its host."""

    actor: Any
    since: float  # the monotonic second
    pulse: Pulse | None = None  # None: the actor itself is to come, once there is room for it


@final
class Ray(WorkerPool[RayWorker]):
    """A service of workers on the nodes of a Ray cluster, as many as there is room for. It grows
    and shrinks with the cluster; a lost node costs the trials on it another attempt."""

    def __init__(
        self,
        setup: Setup,
        *,
        address: str | None,
        resources: Mapping[str, float] | None,
        device: str,
        devices_per_trial: int,
        workers: int | None,
        threads: int,
        ship: Sequence[str],
        patience: float,
        dashboard: bool,
        retries: int,
        trial_timeout: float | None,
        stall_timeout: float | None,
        max_failures: int | None,
        fail_fast: bool,
    ) -> None:
        """Connects to the cluster, and waits for the first worker. Raises ConfigError."""
        limits = Limits(retries, trial_timeout, stall_timeout, max_failures, fail_fast)
        super().__init__(setup, limits)
        check_count("devices_per_trial", devices_per_trial)
        self._resources = _checked(resources, devices_per_trial)
        self._devices = _devices(device, self._resources, devices_per_trial)
        check_count("threads", threads)
        if workers is not None:
            check_count("workers", workers)
        require(patience >= 0, "training.patience", patience, "a number of seconds, at least 0")
        self._most, self._threads, self._patience_of_nodes = workers, threads, patience
        self._ray = imported()
        self._weights = setup.initial_weights and Path(setup.initial_weights).read_bytes()
        self._seal = Seal.of(setup.folder)
        self._coming: dict[Any, Coming] = {}  # by the answer that is waited for
        self._needed = found_of(setup.trust)
        self._failed_begins = 0
        self._looked = self._spoke = time.monotonic()
        self._lost_at = float("-inf")  # the last host
        self._alone_since = time.monotonic()  # without a worker
        self._is_ours = not self._ray.is_initialized()
        try:
            if self._is_ours:
                connect(self._ray, address, ship, dashboard)
            self._check_resources()
            self._actors = self._ray.remote(HostActor).options(**self._of_actor())
            self._grow(time.monotonic())
            while not self._workers:
                self._wait(0.2)
                self._look(time.monotonic())
        except BaseException:
            self.close()
            raise

    def _of_actor(self) -> dict[str, Any]:
        """Returns the options of an actor. It is never restarted by Ray, since its worker would
        then not know its job."""
        own = ("CPU", "GPU", "memory")
        others = {name: n for name, n in self._resources.items() if name not in own}
        return {
            "num_cpus": self._resources.get("CPU", 0), "num_gpus": self._resources.get("GPU", 0),
            "memory": self._resources.get("memory"), "resources": others,
            "max_restarts": 0, "max_task_retries": 0,
        }  # fmt: skip

    @property
    def slots(self) -> int:
        return max(1, len(self._workers))

    def close(self) -> None:
        self._seal.remove()
        ray = self._ray
        if not ray.is_initialized():
            return
        actors = [worker.actor for worker in self._workers if not worker.is_lost]
        closing = [actor.close.remote() for actor in actors]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=CLOSING)
        for actor in (*actors, *(one.actor for one in self._coming.values())):
            ray.kill(actor)
        self._workers.clear()
        self._waiting.clear()
        self._coming.clear()
        if self._is_ours:
            ray.shutdown()

    # Workers

    def _wait(self, seconds: float) -> None:
        hearing = {worker.next: worker for worker in self._workers if not worker.gone}
        refs = [*hearing, *self._coming]
        if not refs:
            time.sleep(min(seconds, LOOK))
            return
        ready, _ = self._ray.wait(refs, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in ready:
            if ref in hearing:
                hearing[ref].receive()
            else:
                self._take(ref)

    def _replace(self, worker: RayWorker) -> None:
        self._workers.remove(worker)
        if worker.is_lost:
            self._lose(worker.actor)
        else:
            worker.actor.restart.remote()
            self._workers.append(worker.successor())

    def _lose(self, actor: Any) -> None:
        self._ray.kill(actor)
        self._lost_at = time.monotonic()

    def _look(self, now: float) -> None:
        pause = CLOSE_LOOK if now < self._lost_at + AFTERMATH else LOOK
        if now < self._looked + pause:
            return
        self._looked = now
        self._give_up_waiting(now)
        self._grow(now)
        if self._workers:
            self._alone_since = now
        else:
            self._wait_for_room(now)

    def _grow(self, now: float) -> None:
        """Asks for as many more workers as the cluster seems to have room for; if it may grow, for
        one more at any time."""
        unplaced = sum(one.pulse is None for one in self._coming.values())
        room = max(self._room(unplaced), int(self._patience_of_nodes > 0 and not unplaced))
        if self._most is not None:
            room = min(room, self._most - len(self._workers) - len(self._coming))
        for _ in range(room):
            actor = self._actors.remote()
            self._coming[actor.beat.remote()] = Coming(actor, now)

    def _room(self, unplaced: int) -> int:
        """Returns for how many more workers there seems to be room: those that are free may be
        free on different nodes, or be taken by actors that are still to be placed."""
        free = _times(self._resources, self._ray.available_resources()) - unplaced
        return min(free, self._most_ever() - len(self._workers) - len(self._coming))

    def _most_ever(self) -> int:
        """Returns how many workers the nodes had room for if they did nothing else."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return sum(_times(self._resources, node) for node in nodes)

    def _take(self, answer: Any) -> None:
        """Goes on with a worker that is to come: lets its host begin, or adds it. Raises RunFailed
        if none can begin."""
        coming = self._coming.pop(answer)
        try:
            found = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._lose(coming.actor)
            self._failed_begins += 1
            missing = re.search(r"No module named '(\w+)", str(error))
            if missing is not None or self._failed_begins > STILLBORN:
                raise RunFailed(_cannot_begin(error, missing)) from None
            return
        if coming.pulse is None:
            self._begin(coming.actor)
        else:
            self._failed_begins = 0
            node, sees_folder = found
            folder = None if sees_folder else self.setup.folder
            self._workers.append(RayWorker(self._ray, coming.actor, node, folder))

    def _begin(self, actor: Any) -> None:
        """Lets an actor that has been placed start its worker."""
        begins = actor.begin.remote(
            self.setup.to_json(), self._needed, self._seal, search_path(), self._devices,
            self._threads, self._weights,
        )  # fmt: skip
        self._coming[begins] = Coming(actor, time.monotonic(), Pulse(self._ray, actor))

    def _give_up_waiting(self, now: float) -> None:
        """Takes back what was asked for if there is no room for it after all, or if its host does
        not answer."""
        for answer, one in [*self._coming.items()]:
            patience = DEAF if one.pulse is not None else max(self._patience_of_nodes, ROOM)
            has_stopped = one.pulse is not None and one.pulse.has_stopped(now)
            if has_stopped or now > one.since + patience:
                self._lose(one.actor)
                del self._coming[answer]

    def _wait_for_room(self, now: float) -> None:
        """Says what is waited for. Raises RunFailed if that takes too long."""
        waited = now - self._alone_since
        if waited > max(self._patience_of_nodes, LOST):
            raise RunFailed(
                f"No node of the Ray cluster has had room for a worker with "
                f"{_listed(self._resources)} for {waited:.0f} s (training.patience)."
            )
        if now > self._spoke + WORD:
            self._spoke = now
            log.warning("Waiting for a node of the Ray cluster with room for a worker with %s.",
                        _listed(self._resources))  # fmt: skip

    def _check_resources(self) -> None:
        """Raises ConfigError if no node has what a worker needs, and none is waited for."""
        if self._most_ever() or self._patience_of_nodes > 0:
            return
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        have = "; ".join(sorted({_listed(_plain(node, self._resources)) for node in nodes}))
        raise ConfigError(
            f"training.resources asks for {_listed(self._resources)} per worker, which no node of "
            f"the Ray cluster has (they have {have}). If it grows on demand, set training.patience "
            "to the seconds that a node takes to come."
        )


def _cannot_begin(error: Exception, missing: re.Match[str] | None) -> str:
    text = "No worker could be started on a node of the Ray cluster"
    if missing is None:
        return f"{text}: {one_line(error)}"
    return (
        f"{text}: it has no module {missing[1]}. Install it there, or let it be sent there by "
        f"training.ship=[{missing[1]}]."
    )


def _checked(resources: Mapping[str, float] | None, cores: int) -> dict[str, float]:
    """Returns what a worker needs, so many `cores` unless told otherwise. Raises ConfigError for
    what cannot be asked for."""
    resources = {"CPU": cores} if resources is None else resources
    rule = "amounts of named resources, such as {CPU: 1, GPU: 0.25}"
    is_named = isinstance(resources, Mapping) and all(
        isinstance(name, str) and name for name in resources
    )
    require(is_named, "training.resources", resources, rule)
    found = {}
    for name, share in resources.items():
        key = f"training.resources.{name}"
        require(name != "object_store_memory", key, share, "left out; workers may ask for memory")
        require(_is_share(share), key, share, "0 or more: a whole number, or a fraction of 1 "
                f"with up to {DIGITS} digits")  # fmt: skip
        if share:
            found[name] = float(share)
    if not found:
        raise ConfigError("training.resources asks for nothing; give at least {CPU: 1}.")
    return found


def _is_share(share: object) -> bool:
    """Returns whether Ray takes a value as an amount of a resource."""
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= MOST:
        return False
    return share == int(share) or (share < 1 and share == round(share, DIGITS))


def _devices(device: str, resources: Mapping[str, float], per_trial: int) -> list[str]:
    """Returns the devices of a worker. Raises ConfigError unless its resources have them."""
    if device not in ("auto", "cpu"):
        raise ConfigError(
            f"training.device is {as_yaml(device)}; on Ray, it is auto or cpu, and auto is a GPU "
            "if each worker asks for one: training.resources.GPU=1."
        )
    gpus = resources.get("GPU") if device == "auto" else None
    return allotted(gpus, per_trial, "training.resources.GPU", "a worker")


def _times(share: Mapping[str, float], whole: Mapping[str, float]) -> int:
    """Returns how often some resources are contained in others."""
    return min(int(whole.get(name, 0) / number + 1e-6) for name, number in share.items())


def _listed(resources: Mapping[str, float]) -> str:
    return "{" + ", ".join(f"{name}: {number:g}" for name, number in resources.items()) + "}"


def _plain(resources: Mapping[str, float], asked: Collection[str]) -> dict[str, float]:
    """Returns the resources of a node that were asked for, or that usually are."""
    hidden = ("node:", "memory", "object_store_memory")
    return {
        name: n
        for name, n in sorted(resources.items())
        if name in asked or not name.startswith(hidden)
    }
