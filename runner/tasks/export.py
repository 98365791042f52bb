"""The task `export`: one model of a run as files, also for other programs."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from runner.config.settings import Settings
from runner.display import format as text
from runner.display import progress
from runner.errors import ConfigError, as_yaml, did_you_mean
from runner.results import Run, write_untrained
from runner.resume import folder_of
from runner.run_folder import check_links
from runner.tasks.task import Task
from runner.trial import MODEL, WEIGHTS, Trial

if TYPE_CHECKING:
    from torch import Tensor, nn

    from runner.formats.exchange_format import ExchangeFormat

FOLDER = "exports"
# What the runner itself writes, as in top/1: the files of each format.
OWN: Mapping[str, Sequence[str]] = {
    "code": (MODEL, "constants.safetensors"),
    "weights": (WEIGHTS,),
    "sample": ("sample.json", "metrics.json"),
}
OTHERS = ("onnx", "pt2")  # formats of other programs, see `runner.formats`
WITHOUT_WEIGHTS = {"code", "sample"}  # what can be written if the weights were not kept


@final
class Export(Task):
    """A task that writes to the folder of the run, and to nothing else there than `exports/`."""

    of_run = True
    uses = ("export",)

    def __init__(self, run: str, trial: int | str, format: list[str] | str) -> None:
        self._run, self._trial = run, trial
        self._formats = [format] if isinstance(format, str) else [*dict.fromkeys(format)]
        for name in self._formats or [""]:
            if name not in (*OWN, *OTHERS):
                raise ConfigError(
                    f"format is {as_yaml(format)}; it must list some of "
                    f"{', '.join((*OWN, *OTHERS))}.{did_you_mean(name, (*OWN, *OTHERS))}"
                )

    def run(self, settings: Settings, folder: Path) -> None:
        with progress.waiting("loading"):
            others = _exchange_formats(self._formats)
        with progress.waiting("reading the run"):
            run = Run(folder_of("run", self._run), settings.trust, settings.secrets)
        trial = run.trial(self._trial)
        check_links(run.folder)
        target = run.folder / FOLDER / f"{trial.number:04d}"
        with tempfile.TemporaryDirectory(prefix=".export-", dir=run.folder) as place:
            found = Path(place, target.name)
            told = _write(run, trial, settings.export.source, self._formats, others, found)
            target.mkdir(parents=True, exist_ok=True)
            for name in told:
                (found / name).replace(target / name)
        progress.show_lines(f"Trial {trial.number} of {text.near(run.folder)} as files:")
        for name, about in told.items():
            size = text.size((target / name).stat().st_size)
            progress.show_lines(f"  {text.near(target / name)}  {size}{about and f', {about}'}")


def _exchange_formats(names: Sequence[str]) -> "list[ExchangeFormat]":
    """Returns the formats of other programs among some. Raises ConfigError if a library is missing
    for one."""
    if not {*names} & {*OTHERS}:
        return []
    from runner.formats.onnx import Onnx  # here: these import torch
    from runner.formats.pt2 import Pt2

    known: Mapping[str, Callable[[], ExchangeFormat]] = {"onnx": Onnx, "pt2": Pt2}
    found = [known[name]() for name in names if name in known]
    for one in found:
        one.check()
    return found


def _write(
    run: Run,
    trial: Trial,
    source: str,
    formats: Sequence[str],
    others: "Sequence[ExchangeFormat]",
    folder: Path,
) -> dict[str, str]:
    """Writes a model to a folder, and tries it. Returns the files that were asked for, and what
    there is to know of each."""
    wanted = [name for one in formats for name in OWN.get(one, ())]
    if not run.weights(trial).is_file() and {*formats} <= WITHOUT_WEIGHTS:
        with progress.waiting("writing the source"):
            write_untrained(run, trial, folder)
        about = {MODEL: "without weights, which were not kept; it was not tried"}
        return _there(wanted, folder, about)
    with progress.waiting("building the model"):
        from runner.export import ModelWriter, example_of, trained_model  # here: it imports torch

        model = trained_model(run, trial)
    if wanted:
        writer = ModelWriter(run, source, FOLDER)
        try:
            with progress.waiting("writing the model, and trying it"):
                writer.write(trial, model, trial.metrics, folder)
        finally:
            writer.close()
        for line in writer.told():
            progress.note(line)
    about = {MODEL: "loaded back, with equal outputs"}
    for one in others:
        with progress.waiting(f"writing {one.file}"):
            about[one.file] = _written_as(one, run, model, example_of(run, model), folder)
    return _there([*wanted, *(one.file for one in others)], folder, about)


def _written_as(
    one: "ExchangeFormat",
    run: Run,
    model: "nn.Module",
    example: "Sequence[Tensor] | None",
    folder: Path,
) -> str:
    if example is None:
        raise ConfigError(
            f"{one.file} needs an example, but data.shape of {run.folder} is not known."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return one.write(model, example[0], folder / one.file)


def _there(names: Sequence[str], folder: Path, about: Mapping[str, str]) -> dict[str, str]:
    return {name: about.get(name, "") for name in names if (folder / name).is_file()}
