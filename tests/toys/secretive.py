"""Parts of a user that are given secrets, and tell of them only what a test asks for."""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from runner.data.digits import Digits
from runner.loggers.logger import BestModel, LoggedRun, Logger
from runner.nn import Flatten, Linear, Sequential, ValueChoice, model_wrapper
from runner.trial import Metrics, Trial

TOLD = "SECRETIVE_TOLD"  # a variable of the environment: the file in which parts note what they got
log = logging.getLogger(__name__)


def told(who: str, *what: object) -> None:
    """Notes what a part was given, where only tests look."""
    if path := os.environ.get(TOLD):
        with Path(path).open("a") as file:
            file.write(json.dumps([who, *what], sort_keys=True) + "\n")


def telling(secret: str) -> list[str]:
    """The commands of all processes of this machine that have a secret among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [command] if secret in command else []
    return found


class Vaulted(Digits):
    """Digits behind a token."""

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        validation: float = 0.2,
        seed: int = 0,
        token: str = "",
        options: Mapping[str, Any] | None = None,
        tokens: Sequence[str] = (),
        url: str = "",
        user: str = "",
        key_dim: int = 1,
        must_be: str | None = None,
    ) -> None:
        super().__init__(shape, classes, validation, seed)
        told("data", token, options, [*tokens], url, user, key_dim)
        if must_be is not None and token != must_be[::-1]:
            raise PermissionError(f"the token {token!r} is wrong")


def train(model: nn.Module, report: Callable[[float], None], api_key: str, mode: str) -> None:
    """Training code that needs a key, and may fail in a way that tells it."""
    told("evaluator", api_key)
    if mode == "raise":
        told("processes", *telling(api_key.partition("-")[0]))
        raise ValueError(f"no access with {api_key}")
    if mode == "print":
        print("trained")
    log.warning("used %s", api_key)
    report(float(sum(p.numel() for p in model.parameters()) % 97) / 97)


class Gossip(Logger):
    """A logger that needs a password, and fails with it in the end if asked to."""

    def __init__(self, password: str, fails: bool = False) -> None:
        self._password, self._fails = password, fails

    def begin(self, run: LoggedRun) -> None:
        told("logger", self._password)

    def start(self, trial: Trial) -> None:
        return

    def report(self, trial: Trial, metrics: Metrics, time: float) -> None:
        return

    def end(self, trial: Trial) -> None:
        if self._fails:
            raise ConnectionError(f"cannot log in with {self._password}")

    def finish(self, best: BestModel) -> None:
        return

    def close(self) -> None:
        return


@model_wrapper
class Gated(nn.Module):
    """A model behind a token, which it keeps."""

    def __init__(self, shape: Sequence[int] = (1, 8, 8), classes: int = 10, hub_token: str = ""):
        super().__init__()
        told("space", hub_token)
        self.token = hub_token
        width = ValueChoice([4, 8], label="width")
        self.body = Sequential(Flatten(), Linear(64, width))
        self.head = Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))  # type: ignore[no-any-return]
