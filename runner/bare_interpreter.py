"""A Python interpreter without `runner` and the user's packages, in which exported models are tried
before they count as stand-alone."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from runner import bare_process
from runner.errors import RunnerError, one_line
from runner.graph.validation.equivalence import seeded
from runner.trial import MODEL

OURS = ("runner", "spaces")


@final
class BareInterpreter:
    """An interpreter that is started for the first model, and serves for all of an export."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the interpreter."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def start(self) -> None:
        """Starts the interpreter, which then imports torch while the caller goes on."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", bare_process.__file__], text=True, encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def check(
        self,
        folder: Path,
        model: nn.Module,
        inputs: Sequence[Tensor] | None,
        absent: Collection[str],
    ) -> None:
        """Loads the model in a folder, without the `absent` packages, and compares it with the one
        that was trained: the names in the state_dict, and the outputs, bit by bit, if there are
        inputs. Raises RunnerError for a difference."""
        with tempfile.TemporaryDirectory() as place:
            given, answer = Path(place) / "inputs.pt", Path(place) / "answer.pt"
            torch.save(None if inputs is None else [*inputs], given)
            said = self._ask(
                model=str((folder / MODEL).resolve()), inputs=str(given), answer=str(answer),
                absent=[*OURS, *absent],
            )  # fmt: skip
            if said:
                raise RunnerError(f"it does not load by itself: {said}")
            found = torch.load(answer, weights_only=True)
        if found["names"] != [*model.state_dict()]:
            raise RunnerError("its state_dict has other names")
        if inputs is not None:
            with seeded():
                _compare(found["outputs"], bare_process.outputs(model, inputs))

    def _ask(self, **request: Any) -> str:
        """Sends a request, and returns the error it ends with; "" if there is none."""
        self.start()
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except OSError as error:
            return one_line(error)
        if not line:
            return f"the interpreter ended with exit code {process.wait()}"
        return " ".join(str(json.loads(line)).split())


def _compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Raises RunnerError for outputs that differ in any bit."""
    if ours.keys() != theirs.keys():
        names = sorted(ours.keys() ^ theirs.keys())[:3]
        raise RunnerError(f"its outputs have other parts: {', '.join(names)}")
    for path, value in theirs.items():
        own = ours[path]
        if not isinstance(value, Tensor) or not isinstance(own, Tensor):
            if isinstance(value, Tensor) or isinstance(own, Tensor) or own != value:
                raise RunnerError(f"its {path} is {own!r:.80}, not {value!r:.80}")
        elif not _is_equal(own, value):
            raise RunnerError(f"its {path} differs from that of the trained model")


def _is_equal(one: Tensor, other: Tensor) -> bool:
    if (one.shape, one.dtype, one.layout) != (other.shape, other.dtype, other.layout):
        return False
    if one.layout is not torch.strided or one.is_quantized or one.is_nested:
        one, other = one.to_dense(), other.to_dense()
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    both = one.isnan() & other.isnan()
    return bool(((one == other) | both).all())
