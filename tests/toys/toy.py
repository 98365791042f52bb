"""Small parts that tests run for real: a space, data, and an evaluator that can misbehave."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch

from runner import nn
from runner.data.data import Data, SearchData
from runner.data.splits import TensorSplit
from runner.errors import Interrupted
from runner.evaluators.evaluator import Evaluator, NotFinite, StopTraining


class Net(nn.Module):
    """Its kernel is asked only when its depth is 2: 3 * (2 + 2 * 4) = 30 samples."""

    def __init__(self, act: str = "relu") -> None:
        super().__init__()
        self.act = act
        self.width = nn.ValueChoice([1, 2, 3], label="width")
        self.depth = nn.ValueChoice([1, 2], label="depth")
        self.skip = nn.ValueChoice([False, True], label="skip")
        self.kernel = nn.ValueChoice([1, 3, 5, 7], label="kernel") if self.depth == 2 else 0
        self.layer = nn.Linear(self.width, 2)

    def forward(self, x):
        return self.layer(x[:, : self.width])


class Fragile(nn.Module):
    """Its code raises for one of its samples."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.ValueChoice([1, 2, 3], label="a")
        if self.a == 2:
            raise ValueError("no such net")
        self.layer = nn.Linear(1, self.a)


class Looks(nn.Module):
    """Looks at values while it is built, which the meta device cannot do."""

    def __init__(self) -> None:
        super().__init__()
        self.n = nn.ValueChoice([2, 3], label="n")
        self.rates = [rate.item() for rate in torch.linspace(0, 1, self.n)]
        self.layer = nn.Linear(1, self.n)


class Wide(nn.Module):
    """More samples than anyone will try."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, nn.IntChoice(1, 10**6, label="width"))


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        raise ValueError("cannot be built at all")


class Clash(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        nn.ValueChoice([1, 2], label="width")
        nn.ValueChoice([1, 3], label="width")


class Nothing(Data):
    """No data; remembers nothing, needs nothing."""

    def __init__(self, shape: list[int], classes: int) -> None:
        super().__init__(shape, classes)

    def search(self) -> SearchData:
        return SearchData(None, None)

    def test(self):
        return None


class Points(Data):
    """Twelve random points of two classes to train on, and six to validate on."""

    def search(self) -> SearchData:
        rng = torch.Generator().manual_seed(0)
        inputs, targets = torch.randn(18, 3, generator=rng), torch.arange(18) % 2
        return SearchData(TensorSplit(inputs[:12], targets[:12]),
                          TensorSplit(inputs[12:], targets[12:]))  # fmt: skip

    def test(self):
        return None


class DiesOnce:
    """An augmentation that notes each batch in a file, and kills its process once, at the batch of
    a number; 0: never."""

    def __init__(self, file: str, at: int) -> None:
        self._file, self._at = Path(file), at

    def __call__(self, inputs: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        with self._file.open("a") as file:
            file.write(".")
        if self._file.stat().st_size == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        return inputs + 0.1 * torch.randn(inputs.shape, generator=rng)


class Arithmetic(Evaluator):
    """Scores a Net by arithmetic, over some epochs, with noise from the trial's seed."""

    def __init__(self, epochs: int, lr: float, sleep: float) -> None:
        self.epochs = epochs
        self.lr = lr
        self.sleep = sleep

    def evaluate(self, models, data, run) -> None:
        for epoch in range(1, self.epochs + 1):
            time.sleep(self.sleep)
            run.report([self.measure(m, s, epoch) for m, s in zip(models, run.seeds, strict=True)])

    def measure(self, model, seed, epoch):
        noise = torch.rand(1, generator=torch.Generator().manual_seed(seed + epoch)).item()
        score = model.width + 2 * model.kernel - model.skip + self.lr + noise / 10
        return {"val/accuracy": score, "val/loss": -score}

    def score(self, models, split, device):
        return [{"accuracy": float(model.width)} for model in models]


class Raises(Arithmetic):
    """Fails in its first epoch."""

    def measure(self, model, seed, epoch):
        raise KeyError("a user's mistake")


class Dies(Arithmetic):
    """Kills its process in the first epoch: once if its learning rate is 0, again and again if it
    is negative."""

    def measure(self, model, seed, epoch):
        mark = Path("died")
        if self.lr < 0 or (self.lr == 0 and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().measure(model, seed, epoch)


class Ages(Arithmetic):
    """Adds 1 to all weights in an epoch, and tells what the first one of them was before."""

    def measure(self, model, seed, epoch):
        with torch.no_grad():
            first = next(model.parameters()).flatten()[0].item()
            for parameter in model.parameters():
                parameter.add_(1)
        noise = torch.rand(1, generator=torch.Generator().manual_seed(seed + epoch)).item()
        return {"val/accuracy": noise, "val/first": first}


class Listens(Evaluator):
    """Reports for those models that were not told to end."""

    def __init__(self, epochs: int, sleep: float) -> None:
        self.epochs = epochs
        self.sleep = sleep

    def evaluate(self, models, data, run) -> None:
        ended: set[int] = set()
        for epoch in range(self.epochs):
            time.sleep(self.sleep)
            news = [{"val/accuracy": float(epoch)} if i not in ended else {}
                    for i in range(len(models))]  # fmt: skip
            ended.update(run.report(news))

    def score(self, models, split, device):
        return [{} for _ in models]


class LateTrouble(Evaluator):
    """Reports its width, and if that is 1, ends its worker or raises before the next report."""

    def __init__(self, kind: str, epochs: int) -> None:
        self.kind = kind
        self.epochs = epochs

    def evaluate(self, models, data, run) -> None:
        for epoch in range(self.epochs):
            run.report([{"val/accuracy": float(model.width)} for model in models])
            time.sleep(0.05)  # for the driver to hear it, and to stop the trial
            if epoch == 0 and any(model.width == 1 for model in models):
                if self.kind == "exit":
                    os._exit(3)
                raise ValueError("too late")

    def score(self, models, split, device):
        return [{} for _ in models]


class Trouble(Evaluator):
    """Does something bad for one width, and works for the others."""

    def __init__(self, kind: str, width: int, folder: str) -> None:
        self.kind = kind
        self.width = width
        self.folder = Path(folder)

    def evaluate(self, models, data, run) -> None:
        for model in models:
            if model.width == self.width:
                getattr(self, self.kind)(run)
        run.report([{"val/accuracy": float(model.width)} for model in models])

    def score(self, models, split, device):
        return [{} for _ in models]

    def error(self, run) -> None:
        raise KeyError("a user's mistake")

    def exit(self, run) -> None:
        os._exit(3)

    def killed(self, run) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def killed_once(self, run) -> None:
        mark = self.folder / "was_killed"
        if not mark.exists():
            run.report([{"val/accuracy": 99.0}])
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def segfault(self, run) -> None:
        ctypes.string_at(0)

    def hang(self, run) -> None:
        run.report([{"val/accuracy": 0.0}])
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        (self.folder / "child").write_text(str(child.pid))
        time.sleep(1000)

    def hang_deaf(self, run) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)

    def hang_in_c(self, run) -> None:
        ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock

    def host_memory(self, run) -> None:
        torch.empty(1 << 50)

    def not_finite(self, run) -> None:
        raise NotFinite("the loss is nan at epoch 1, step 3")

    def nan_metric(self, run) -> None:
        run.report([{"val/accuracy": float("nan")}])
        raise StopTraining

    def other_metric(self, run) -> None:
        run.report([{"other": 1.0}])
        raise StopTraining

    def prints(self, run) -> None:
        print("hello from a trial")
        print("and its errors", file=sys.stderr)
        os.system("echo and its children")

    def forks(self, run) -> None:
        child = multiprocessing.get_context("fork").Process(target=int)
        child.start()
        child.join()
        assert child.exitcode == 0

    def leaves_a_child(self, run) -> None:
        if os.fork() == 0:
            time.sleep(30)
        os.kill(os.getpid(), signal.SIGKILL)

    def system_exit(self, run) -> None:
        raise SystemExit(0)

    def disk_full(self, run) -> None:
        raise OSError(28, "No space left on device")


def depth_of(model):
    return sum(isinstance(module, nn.Linear) for module in model.modules())


class Scores:
    """A score of an untrained Net, nearly that which `Arithmetic` gives trained ones; does
    something bad for one width."""

    def __init__(self, sign: int = 1, kind: str = "", width: int = 2) -> None:
        self.sign = sign
        self.kind = kind
        self.width = width

    def __call__(self, model) -> float:
        if self.kind and self.width in (0, model.width):
            getattr(self, self.kind)()
        return self.sign * float(model.width + 2 * model.kernel)

    def error(self) -> None:
        raise KeyError("it has no score")

    def memory(self) -> None:
        raise MemoryError

    def exit(self) -> None:
        os._exit(3)

    def hang(self) -> None:
        time.sleep(1000)

    def changes_the_process(self) -> None:
        torch.set_default_dtype(torch.float64)
        os.environ["LEFT"] = "by a score"

    def interrupt(self) -> None:
        raise Interrupted(2)


def no_training(model, report):
    """A user's own training code, for `evaluator=function`."""
    report(1.0)


def own_training(model, report, trial, checkpoint, dies):
    """Trains four epochs from where it stands; with `dies`, trial 1 dies once, after two."""
    state = checkpoint.load() or {"epoch": 0, "total": 0.0}
    for epoch in range(state["epoch"], 4):
        total = state["total"] + torch.rand(()).item()
        report(total)
        state = {"epoch": epoch + 1, "total": total}
        checkpoint.save(state)
        with (trial.folder / "epochs.txt").open("a") as file:
            file.write(f"{epoch} ")
        if dies and trial.number == 1 and epoch == 1:
            os._exit(3)


class SlowData(Nothing):
    """Takes its time to load, and only then."""

    def __init__(self, shape: list[int], classes: int, seconds: float) -> None:
        super().__init__(shape, classes)
        self.seconds = seconds
        self.loaded = False

    def search(self) -> SearchData:
        if not self.loaded:
            time.sleep(self.seconds)
        self.loaded = True
        return super().search()


class Weighed(nn.Module):
    """A choice of layers and one of values, each with a prior."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LayerChoice(
            {"a": nn.Identity, "b": partial(nn.Linear, 3, 3)}, label="first", prior=[0, 1]
        )
        width = nn.ValueChoice([3, 4, 5], label="width", prior=(1, 0, 3))
        self.second = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))

    def forward(self, x):
        return self.second(self.first(x))
