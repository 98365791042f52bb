"""Training of one model on several devices, one process each: DistributedDataParallel.

The numbers are those of one process with the same batches, but for rounding, and for what a model
draws at random.
"""

import os
import socket
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import FileStore
from torch.nn.parallel import DistributedDataParallel

from runner.data.data import Batch
from runner.evaluators.evaluator import NotFinite, StopTraining, TrainingRun
from runner.evaluators.global_batch import WAY_OUT, GlobalBatch
from runner.evaluators.model_tensors import named_tensors
from runner.evaluators.replicas import Forward, Replicas
from runner.space.sample import generator
from runner.trial import Metrics

FOREVER: Final = timedelta(days=365)  # who waits for whom is watched elsewhere
INTERFACE = "GLOO_SOCKET_IFNAME"  # the variable that names the network of gloo's sockets
OBSERVERS = ("ObserverBase", "FakeQuantizeBase")  # of torch.ao.quantization
TWICE = "mark a variable ready only once"  # what DistributedDataParallel says
COMPILED = ("ScriptModule", "OptimizedModule")  # whose layers cannot be seen from Python


@contextmanager
def replica_group(
    meeting: Path, rank: int, size: int, device: torch.device
) -> Iterator["ReplicaGroup"]:
    """Joins `size` processes, which all name the same file to meet, one that is not there yet. What
    is done with a group ends with the block."""
    hook = sys.excepthook  # which torch replaces
    with _on_loopback():
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=FileStore(str(meeting), size), rank=rank, world_size=size, timeout=FOREVER,
        )  # fmt: skip
        sys.excepthook = hook
        try:
            group = ReplicaGroup(device)
        except BaseException:
            dist.destroy_process_group()
            raise
    is_over_everywhere = False
    try:
        yield group
        is_over_everywhere = True
    except (NotFinite, StopTraining):
        is_over_everywhere = True
        raise
    finally:
        group.release()
        if device.type == "cuda" and not is_over_everywhere:  # NCCL would wait for the others
            dist.distributed_c10d._abort_process_group()
        else:
            dist.destroy_process_group()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Lets gloo use no network but that within this machine."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if not names or INTERFACE in os.environ:
        yield
        return
    os.environ[INTERFACE] = names[0]
    try:
        yield
    finally:
        del os.environ[INTERFACE]


def is_disconnection(error: BaseException) -> bool:
    """Returns whether an error says no more than that another process has left the group."""
    is_of_gloo = isinstance(error, RuntimeError) and "gloo" in str(error)
    return is_of_gloo or isinstance(error, dist.DistError)


def meet(meeting: Path, rank: int, size: int, device: torch.device) -> None:
    """Meets the other processes for the first time, and trains a model of one weight: what is
    imported for that, and what torch says once, comes before the first trial."""
    with replica_group(meeting, rank, size, device) as group:
        model = nn.Linear(1, 1).to(device)
        inputs = torch.ones(2, 1, device=device)
        forward = group.forward(model)
        loss = group.loss(lambda batch: forward(batch[0]).mean(), (inputs, inputs))
        group.backward(loss)
    meeting.unlink(missing_ok=True)


@final
class ReplicaGroup(Replicas):
    """The replicas of one model in the processes of a group: each trains on its part of a batch."""

    def __init__(self, device: torch.device) -> None:
        self._rank, self._size = dist.get_rank(), dist.get_world_size()
        self._device = device
        # Apart from the gradients, whose order of arrival may depend on the data.
        statistics: Any = dist.new_group()
        self._words: Any = statistics
        if device.type != "cpu":  # messages between processors, for which no device must wait
            self._words = dist.new_group(backend="gloo")
        self._mode = GlobalBatch(statistics, self._words)
        self._wrapped: list[DistributedDataParallel] = []

    # The part of the first process, and of the others, in a training

    def taking_part(self, run: TrainingRun) -> TrainingRun:
        """Returns a run as this process takes part in it. The first one reports and leaves
        checkpoints; the others follow its decisions, and draw random numbers of their own."""
        if self._rank == 0:
            return replace(run, report=self._telling(run.report), replicas=self)
        seeds = [generator(seed, "replica", self._rank).getrandbits(31) for seed in run.seeds]
        span = run.span and replace(run.span, after=None)
        return replace(run, seeds=seeds, report=self._told, span=span, replicas=self)

    def _telling(
        self, report: Callable[[Sequence[Metrics]], Collection[int]]
    ) -> Callable[[Sequence[Metrics]], Collection[int]]:
        def telling(metrics: Sequence[Metrics]) -> Collection[int]:
            decision = torch.zeros(len(metrics) + 1, dtype=torch.int64)  # models to stop; all
            try:
                places = report(metrics)
            except StopTraining:
                decision[-1] = 1
                self._first(decision)
                raise
            decision[[*places]] = 1
            self._first(decision)
            return places

        return telling

    def _told(self, metrics: Sequence[Metrics]) -> Collection[int]:
        decision = self._first(torch.zeros(len(metrics) + 1, dtype=torch.int64))
        if decision[-1]:
            raise StopTraining
        return decision[:-1].nonzero().flatten().tolist()

    def _first(self, values: Tensor) -> Tensor:
        """Returns the values of the first process."""
        values = values.to(self._device)
        dist.broadcast(values, src=0)
        return values.cpu()

    # Training

    def forward(self, model: nn.Module) -> Forward:
        self.release()  # it may have been trained before
        _check(model)
        self._mode.know(model)
        self._copy_first(dict(named_tensors(model)))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of newer versions
            wrapped = DistributedDataParallel(
                model, init_sync=False, broadcast_buffers=False, find_unused_parameters=True
            )
        self._wrapped.append(wrapped)
        return wrapped

    def release(self) -> None:
        """Takes the group from all models that know it. A reducer that is its last owner would end
        its threads while it holds the interpreter's lock, for which they may be waiting."""
        for wrapped in self._wrapped:
            wrapped.reducer = wrapped.logger = None  # type: ignore[assignment]
        self._wrapped.clear()

    def loss(self, loss_of: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        inputs, targets = batch
        size = len(targets)
        is_shared = size >= self._size  # if there are too few, each process takes them all
        begin, end = (size * (self._rank + i) // self._size for i in (0, 1))
        if not is_shared:
            begin, end = 0, size
        with self._mode.forward_pass() if is_shared else nullcontext():
            loss = loss_of((inputs[begin:end], targets[begin:end]))
        share = (end - begin) / (size if is_shared else size * self._size)
        weighted_sum: Any = _WeightedSum.apply
        whole: Tensor = weighted_sum(loss, share, self._size)
        return whole

    def backward(self, loss: Tensor) -> None:
        try:
            with self._mode.backward_pass():
                torch.autograd.backward(loss)
        except RuntimeError as error:
            if TWICE not in str(error):
                raise
            raise RuntimeError(
                "Parameters get gradients twice in a step, as with reentrant activation "
                f"checkpointing; call checkpoint with use_reentrant=False, or {WAY_OUT}."
            ) from error

    # Scoring

    def agree(self, model: nn.Module) -> None:
        parameters = {*model.parameters()}
        found = {name: tensor for name, tensor in named_tensors(model) if tensor not in parameters}
        self._copy_first(found)

    def judged(
        self, batches: Iterable[Batch], judge: Callable[[Batch], Sequence[Tensor]]
    ) -> list[Tensor]:
        """Judges every n-th batch; all processes return all rows."""
        first: Batch | None = None
        own: list[tuple[int, Sequence[Tensor]]] = []  # with the number of rows before
        total = 0
        for number, batch in enumerate(batches):
            first = batch if first is None else first
            if number % self._size == self._rank:
                own.append((total, judge(batch)))
            total += len(batch[1])
        if first is None:
            raise ValueError("There are no examples to be judged.")
        like = own[0][1] if own else judge(first)
        return [
            self._gathered(total, rows, [(at, found[i]) for at, found in own])
            for i, rows in enumerate(like)
        ]

    def _gathered(self, total: int, like: Tensor, own: list[tuple[int, Tensor]]) -> Tensor:
        """Returns the rows of all processes. Each adds zeros to those of the others."""
        whole = torch.zeros((total, *like.shape[1:]), dtype=torch.float64, device=self._device)
        for at, rows in own:
            whole[at : at + len(rows)] = rows
        dist.all_reduce(whole)
        return whole.cpu()

    @torch.no_grad()
    def _copy_first(self, named: Mapping[str, Tensor]) -> None:
        """Gives some tensors the values of the first process, all of a kind at once. Those that are
        not of one kind everywhere, such as outputs that a module keeps, stay as they are."""
        kinds = {name: (tensor.dtype, tensor.device.type, tensor.shape, tensor.layout)
                 for name, tensor in named.items()}  # fmt: skip
        every: list[Any] = [None] * self._size
        dist.all_gather_object(every, kinds, group=self._words)
        tensors = [tensor for name, tensor in named.items()
                   if all(other.get(name) == kinds[name] for other in every)]  # fmt: skip
        for kind in dict.fromkeys((tensor.dtype, tensor.device) for tensor in tensors):
            alike = [tensor for tensor in tensors if (tensor.dtype, tensor.device) == kind]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike]).to(self._device)
            dist.broadcast(flat.view(torch.uint8), src=0)
            flat = flat.to(kind[1])
            begin = 0
            for tensor in alike:
                now = flat[begin : begin + tensor.numel()].view(tensor.shape)
                begin += tensor.numel()
                if not torch.equal(tensor, now):  # a constant may be a view that cannot be written
                    tensor.copy_(now)


@final
class _WeightedSum(torch.autograd.Function):
    """The sum over all processes of what they have, each with its weight. Its gradient is as many
    times too large as there are processes, since the gradients of parameters are averaged."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: float, size: int) -> Tensor:
        ctx.factor = weight * size
        total = value.detach() * weight
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad * ctx.factor, None, None


def _check(model: nn.Module) -> None:
    """Raises RuntimeError for a model with layers whose calls cannot be seen, or that observe a
    part of each batch."""
    for name, module in model.named_modules():
        if any(base.__name__ in OBSERVERS for base in type(module).__mro__):
            raise RuntimeError(
                f"The module {name or 'itself'} ({type(module).__name__}) observes a part of each "
                f"batch on several devices; {WAY_OUT}."
            )
        if any(base.__name__ in COMPILED for base in type(module).__mro__):
            raise RuntimeError(
                f"The module {name or 'itself'} ({type(module).__name__}) is compiled, so that "
                f"batch normalization in it would see a part of each batch; {WAY_OUT}."
            )
