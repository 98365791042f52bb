"""A Python interpreter without `runner`, the user's packages, working directory and environment, in
which exported models are tried before they count as stand-alone."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from runner import bare_process
from runner.errors import RunnerError, one_line
from runner.graph.validation.equivalence import seeded
from runner.trial import MODEL

OURS = ("runner", "spaces")
COMMAND = (sys.executable, "-I", bare_process.__file__)
# What Python and torch need of the environment, or what changes the last bits of their results.
NAMES = ("PATH", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")
PREFIXES = ("LC_", "LD_", "DYLD_", "CUDA_", "CUBLAS_", "NVIDIA_", "HIP_", "ROCR_", "OMP_", "KMP_",
            "MKL_", "ATEN_", "DNNL_", "ONEDNN_", "OPENBLAS_")  # fmt: skip
ModelInputs = tuple[list[Any], dict[str, Any]]  # arguments by position, and by name


@final
class BareInterpreter:
    """An interpreter that is started for the first model, and serves for all of an export."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # its working directory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the interpreter."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # a request that the process did not read
                    if pipe is not None:
                        pipe.close()
            process.wait()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def start(self) -> None:
        """Starts the interpreter, which then imports torch while the caller goes on."""
        if self._process is not None and self._process.poll() is not None:
            self.close()  # its pipes
        if self._process is None:
            self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self._process = subprocess.Popen(
                [*self._command], text=True, encoding="utf-8",
                cwd=self._folder.name, env=_environment(self._folder.name),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def check(
        self,
        folder: Path,
        model: nn.Module,
        inputs: Sequence[Tensor] | None,
        absent: Collection[str] = (),
    ) -> None:
        """Loads the model in a folder, without the `absent` packages, and compares it with the one
        that was trained: the names in the state_dict, and the outputs, bit by bit, if there are
        inputs. Raises RunnerError for a difference."""
        given: ModelInputs | None = None if inputs is None else ([*inputs], {})
        found = self.loaded(folder, given, absent)
        expected = LoadedModel([*model.state_dict()], {})
        if given is not None:
            with seeded():
                expected.outputs.update(bare_process.outputs(model, *given))
        found.compare(expected)

    def loaded(
        self, folder: Path, inputs: ModelInputs | None, absent: Collection[str] = ()
    ) -> "LoadedModel":
        """Returns what the model in a folder is in the interpreter, and what it makes of inputs.
        Raises RunnerError if it does not load."""
        with tempfile.TemporaryDirectory() as place:
            given, answer = Path(place) / "inputs.pt", Path(place) / "answer.pt"
            torch.save(inputs, given)
            said = self._ask(
                model=str((folder / MODEL).resolve()), inputs=str(given), answer=str(answer),
                absent=[*OURS, *absent],
            )  # fmt: skip
            if said:
                raise RunnerError(f"it does not load by itself: {said}")
            found = torch.load(answer, weights_only=True)
        return LoadedModel(found["names"], found["outputs"])

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


def _environment(home: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in NAMES or k.startswith(PREFIXES)}
    return {**kept, "HOME": home, "USERPROFILE": home}


@final
@dataclass
class LoadedModel:
    """The names in the state_dict of a model, and what it made of inputs, by path."""

    names: list[str]
    outputs: dict[str, Any]

    def compare(self, other: "LoadedModel") -> None:
        """Raises RunnerError for names or outputs that differ, in any bit."""
        if self.names != other.names:
            raise RunnerError("its state_dict has other names")
        if self.outputs.keys() != other.outputs.keys():
            names = sorted(self.outputs.keys() ^ other.outputs.keys())[:3]
            raise RunnerError(f"its outputs have other parts: {', '.join(names)}")
        for path, value in other.outputs.items():
            own = self.outputs[path]
            if not isinstance(value, Tensor) or not isinstance(own, Tensor):
                if isinstance(value, Tensor) or isinstance(own, Tensor) or own != value:
                    raise RunnerError(f"its {path} is {_short(own)}, not {_short(value)}")
            elif not _is_equal(own, value):
                raise RunnerError(f"its {path} differs from that of the trained model")


def _short(value: Any) -> str:
    return f"a tensor {[*value.shape]}" if isinstance(value, Tensor) else f"{value!r:.80}"


def _is_equal(one: Tensor, other: Tensor) -> bool:
    if (one.shape, one.dtype, one.layout) != (other.shape, other.dtype, other.layout):
        return False
    if one.layout is not torch.strided or one.is_quantized or one.is_nested:
        one, other = one.to_dense(), other.to_dense()
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    both = one.isnan() & other.isnan()
    return bool(((one == other) | both).all())
