"""Models that compute in double precision, so that trainings on one device and on several can be
compared; and what may go wrong on one device only."""

import ctypes
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from runner.data.data import Data, SearchData
from runner.data.splits import TensorSplit
from runner.training.pipes import HIGH


def rank() -> int:
    """That of this process; 0 if it trains alone."""
    return dist.get_rank() if dist.is_initialized() else 0


class Blobs(Data):
    """Noisy images (2, 6, 6) of three classes, or numbers to be predicted from them."""

    def __init__(self, train: int, numbers: bool = False) -> None:
        super().__init__((2, 6, 6), 1 if numbers else 3)
        rng = torch.Generator().manual_seed(0)
        labels = torch.arange(train + 50) % 3
        inputs = torch.randn(len(labels), 2, 6, 6, generator=rng) + labels.view(-1, 1, 1, 1)
        targets = inputs.mean((1, 2, 3))[:, None] if numbers else labels
        self._splits = SearchData(
            TensorSplit(inputs[:train], targets[:train]),
            TensorSplit(inputs[train:], targets[train:]),
        )

    def search(self) -> SearchData:
        return self._splits

    def test(self) -> TensorSplit:
        return self._splits.validation


class Late(Blobs):
    """Is there late, but for the first device."""

    def __init__(self, train: int, seconds: float) -> None:
        super().__init__(train)
        self._seconds = seconds if os.getpid() != os.getpgrp() else 0.0

    def search(self) -> SearchData:
        time.sleep(self._seconds)
        self._seconds = 0.0
        return super().search()


class Net(nn.Module):
    """Two layers, and what a kind of it does between them, each time that it is trained on a
    batch."""

    def __init__(self, kind: str = "plain", outputs: int = 3, folder: str = "", rank: int = 0):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.last = nn.Linear(4 * 36, outputs)
        self.kind, self.folder, self.rank = kind, Path(folder), rank
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))
        self.register_buffer("seven", torch.tensor(7.0).expand(5))  # cannot be written
        self.steps, self.kept = 0, torch.zeros((), dtype=torch.float64)
        if make := LAYERS.get(kind):
            self.layer = make()
        if kind == "frozen":
            self.first.requires_grad_(False)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.double())
        self.steps += self.training
        x = getattr(self, f"be_{self.kind}", self.be_layered)(x)
        return self.last(torch.relu(x).flatten(1))

    def be_layered(self, x):
        return self.layer(x)

    def be_plain(self, x):
        return x

    be_frozen = be_plain

    def be_functional(self, x):
        return functional.batch_norm(x, self.mean, self.var, training=self.training)

    def be_operator(self, x):
        """As generated source calls it."""
        return torch.batch_norm(x, None, None, self.mean, self.var, self.training, 0.1, 1e-5, True)

    def be_unused(self, x):
        return x if self.steps % 2 else self.layer(x)

    def be_twice(self, x):
        return self.layer(torch.relu(self.layer(x)))

    def be_skipped(self, x):
        """By each device as it likes, in training: as LayerDrop does."""
        return x if self.training and rank() % 2 else self.layer[0](x)

    def be_chosen(self, x):
        """One of two layers of a kind, likewise."""
        return self.layer[rank() % 2 if self.training else 0](x)

    def be_wide(self, x):
        """Layers of other widths, likewise."""
        if self.training and rank() % 2:
            return self.layer[2](x.repeat(1, 2, 1, 1))[:, :4]
        return self.layer[0](x)

    def be_attribute(self, x):
        """A mean that it keeps in an attribute, not in a buffer, of its part of a batch, and an
        output that it keeps."""
        if self.training:
            self.kept = self.kept * 0.9 + 0.1 * x.detach().mean()
        elif dist.is_initialized():
            with (self.folder / f"{rank()}.txt").open("a") as file:
                file.write(f"{self.kept.item()}\n")
        self.output = x.detach()
        return x - self.kept

    def be_legit(self, x):
        return torch.ops.aten._native_batch_norm_legit_functional(
            x, None, None, self.mean, self.var, self.training, 0.1, 1e-5
        )[0]

    def be_not_finite(self, x):
        """For the images of one device only."""
        return torch.where(x.amax((1, 2, 3), keepdim=True) > 3.4, torch.nan, x)

    def be_recomputed(self, x):
        """Again in the backward pass, to save memory."""
        return checkpoint(self.layer, x, use_reentrant=False)

    def be_reentered(self, x):
        return checkpoint(self.layer, x, use_reentrant=True)

    be_recomputed_plain = be_recomputed_instance = be_recomputed
    be_reentered_plain = be_reentered_free = be_reentered

    def be_slow(self, x):
        time.sleep(0.02)
        return x

    def be_native(self, x):
        return torch.native_batch_norm(
            x, None, None, self.mean, self.var, self.training, 0.1, 1e-5
        )[0]

    def be_embedded(self, x):
        table = torch.ones(3, 4, dtype=x.dtype)
        indices = torch.zeros(len(x), dtype=torch.long)
        return x + functional.embedding(indices, table, max_norm=1.0)[..., None, None]

    # What goes wrong on one device, in the third step

    def be_wrong(self, x):
        raise ValueError("no such step")

    def be_out_of_memory(self, x):
        return torch.empty(1 << 50)

    def be_dead(self, x):
        os._exit(3)

    def be_killed(self, x):
        os.kill(os.getpid(), signal.SIGKILL)

    def be_ended(self, x):
        raise SystemExit(5)

    def be_stopped(self, x):
        os.kill(os.getpid(), signal.SIGSTOP)
        return x

    def be_hung(self, x):
        time.sleep(1000)

    def be_half_ended(self, x):
        threading.Thread(target=time.sleep, args=[1000]).start()
        ctypes.CDLL(None).pthread_exit(None)

    def be_mute(self, x):
        os.closerange(HIGH, HIGH + 100)
        time.sleep(1000)

    def be_taken(self, x):
        os._exit(3)

    def be_killed_once(self, x):
        mark = self.folder / "was_killed"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    def be_patching(self, x):
        torch.set_default_dtype(torch.float64)
        return x

    def be_wrong_behind(self, x):
        """In the backward pass."""
        x.register_hook(lambda grad: grad.view(7, -1, 11))
        return x


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "norm": partial(nn.BatchNorm2d, 4),
    "cumulative": partial(nn.BatchNorm2d, 4, momentum=None),
    "without statistics": partial(nn.BatchNorm2d, 4, track_running_stats=False, affine=False),
    "instance": partial(nn.InstanceNorm2d, 4, affine=True, track_running_stats=True),
    "scripted": lambda: torch.jit.script(nn.BatchNorm2d(4)),
    **{
        kind: lambda: nn.ModuleList(map(nn.BatchNorm2d, (4, 4, 8)))
        for kind in ("skipped", "chosen", "wide")
    },
    "recomputed": partial(nn.BatchNorm2d, 4),
    "recomputed_instance": partial(nn.InstanceNorm2d, 4, track_running_stats=True),
    "recomputed_plain": partial(nn.Conv2d, 4, 4, 1),
    "reentered": partial(nn.BatchNorm2d, 4),
    "reentered_free": partial(nn.BatchNorm2d, 4, affine=False),
    "reentered_plain": partial(nn.Conv2d, 4, 4, 1),
    "observed": lambda: torch.ao.quantization.MovingAverageMinMaxObserver(),
    "unused": partial(nn.Conv2d, 4, 4, 1),
    "twice": partial(nn.Conv2d, 4, 4, 1),
}


class Witness(Net):
    """Leaves what its weights are, whenever it is scored, on each device, if it has a folder."""

    def train(self, mode: bool = True) -> "Witness":
        if not mode and self.folder.is_absolute():
            state = b"".join(value.numpy().tobytes() for value in self.state_dict().values())
            with (self.folder / f"{rank()}.txt").open("a") as file:
                file.write(f"{hashlib.sha256(state).hexdigest()}\n")
        return super().train(mode)


class Faulty(Witness):
    """A net that is what its kind says in the third step, on one device, and plain otherwise."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.double())
        self.steps += self.training
        if self.kind == "taken" and rank() != self.rank:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        if self.training and self.steps == 3 and rank() == self.rank:
            x = getattr(self, f"be_{self.kind}")(x)
        return self.last(torch.relu(x).flatten(1))


class Unbuildable(Net):
    """Can be built on one device only."""

    def __init__(self, **given) -> None:
        super().__init__(**given)
        if "RUNNER_WORKER" in os.environ and os.getpid() != os.getpgrp():
            raise ValueError("it cannot be built here")


class Random(Net):
    """With dropout."""

    def be_plain(self, x):
        return functional.dropout(x, 0.5, self.training)


class Torn(Net):
    """On the first device it hangs, outside of the group; on the others it fails."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and dist.is_initialized():
            if rank() == 0:
                time.sleep(1000)
            raise ValueError("only the second")
        return super().forward(x)
