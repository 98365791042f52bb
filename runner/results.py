"""The results of a run: its trials, its best models, and their export."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, final

from runner.config.settings import STANDALONE
from runner.config.source_secrets import masked_source
from runner.errors import ConfigError, RunnerError, as_yaml, one_line
from runner.goals import Goals, Objective
from runner.model_header import heading
from runner.ranking import curve, front, top
from runner.space.sample import Sample
from runner.store import Record, last_event, read
from runner.trial import MODEL, WEIGHTS, Gain, Job, Trial, trial_folder
from runner.trust import RecordedConfig

if TYPE_CHECKING:
    from torch import nn

    from runner.engines.engine import Engine, ModelSource

Formatter = Literal["dict", "code", "instance"]


@final
class Run:
    """A run, read from its folder. It may still be running; each access gives the current state,
    and reads the record again only if something was added to it."""

    def __init__(
        self,
        folder: Path | str,
        trust: Sequence[str] = (),
        secrets: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Reads the folder; imports and runs nothing that it names. `trust` are import prefixes
        that the models may use, besides those of a record that this user made, and `secrets` are
        values that are not saved, by their keys. Raises ConfigError if the folder contains no run,
        and RunFailed if its record cannot be used."""
        _check_trust(trust)
        self.folder = Path(folder).resolve()
        record = self._read_again()
        self._recorded = RecordedConfig.of(record, self.folder, trust, secrets)
        self.settings = self._recorded.settings

    @property
    def goals(self) -> Goals:
        """The objectives of the search, and its constraints."""
        return Goals.of_settings(self.settings)

    @property
    def objective(self) -> Objective:
        """The objective of the search; the first of several."""
        return self.goals.objectives[0]

    @property
    def record(self) -> Record:
        """All that is recorded, read at once."""
        if last_event(self.folder) != self._last or self._record.goals != self.goals:
            self._read_again(self.goals)
        return replace(self._record, trials=[*self._record.trials], gains=[*self._record.gains])

    def _read_again(self, goals: Goals | None = None) -> Record:
        """Reads the record and keeps it, with the event that was the last one before."""
        last = last_event(self.folder)
        self._record = read(self.folder, goals)
        self._last = last
        return self._record

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number."""
        return self.record.trials

    @property
    def best(self) -> Trial:
        """The best trial. Raises RunnerError if none has a result yet."""
        if found := self.top(1):
            return found[0]
        raise RunnerError(f"No trial of {self.folder} has a result yet.")

    def trial(self, reference: int | str) -> Trial:
        """Returns a trial by its number, by its place in the ranking (`top/2`), or the `best` one.
        Raises ConfigError if there is none."""
        record = self.record
        word = str(reference).strip()
        place = "1" if word == "best" else word.removeprefix("top/") if "/" in word else ""
        if place.isdecimal():
            ranking = top(record.trials, len(record.trials))
            if 1 <= int(place) <= len(ranking):
                return ranking[int(place) - 1]
            raise ConfigError(
                f"trial is {word}, but the run in {self.folder} has {len(ranking) or 'no'} "
                f"result{'' if len(ranking) == 1 else 's'}."
            )
        if word.isdecimal() and int(word) < len(record.trials):
            return record.trials[int(word)]
        there = f"0 to {len(record.trials) - 1}" if record.trials else "none"
        raise ConfigError(
            f"trial is {as_yaml(reference)}; the trials of the run in {self.folder} are {there}. "
            "It must be a number, best, or a place such as top/2."
        )

    @property
    def gains(self) -> list[Gain]:
        """The gains of training groups of trials as one; empty without groups."""
        return self.record.gains

    def top(self, k: int) -> list[Trial]:
        """Returns the k best trials, best first; of trials that share a result, only the first."""
        return top(self.trials, k)

    @property
    def front(self) -> list[Trial]:
        """The trials that no other one beats in every objective, the best in the first foremost.
        With one objective, the best trial."""
        return front(self.trials)

    def curve(self, cost: str = "cost") -> list[tuple[float, float]]:
        """Returns what the trials cost so far, by a metric that sums up, and the best value of the
        first objective so far, after each trial that improved it: with a table, a curve over
        simulated seconds."""
        return [(spent, self.objective.turned(best)) for spent, best in curve(self.trials, cost)]

    def model(self, trial: Trial | int) -> "nn.Module":
        """Returns the model of a trial, rebuilt, with trained weights, on the CPU, in eval mode.

        Raises RunnerError if the weights were not kept, or are damaged, and ConfigError if somebody
        else made the run and its code is not trusted.
        """
        from runner.weights import WeightsError, load_weights  # here: this imports torch

        trial = self.trials[trial] if isinstance(trial, int) else trial
        [recipe] = self.job(trial).recipes
        model = self._engine.build(recipe)
        weights = self.weights(trial)
        if not weights.exists():
            raise RunnerError(
                f"The weights of trial {trial.number} were not kept, or were deleted: {weights} "
                "does not exist. Only those of the best export.keep_weights trials are kept."
            )
        try:
            load_weights(model, weights)
        except WeightsError as error:
            raise RunnerError(
                f"The weights of trial {trial.number} cannot be used: {error}. Restore the file "
                "from a copy, or train its sample, which is in the record, in another run."
            ) from error
        return model.eval()

    def source(self, trial: Trial, *, standalone: bool | None = None) -> "ModelSource":
        """Returns a trial's model as Python source, which defines `build() -> torch.nn.Module`.

        Standalone source imports only torch and installed libraries; None: as the config of the
        run has it, but with imports of your code where it cannot stand alone. Raises ConfigError
        for standalone source that is asked for and impossible, and RunnerError if your code fails.
        """
        wanted = self.settings.export.source == STANDALONE if standalone is None else standalone
        try:
            try:
                found = self._engine.source(trial, standalone=wanted)
            except ConfigError:
                if standalone is not None or not wanted:
                    raise
                found = self._engine.source(trial, standalone=False)
            return replace(found, text=masked_source(found.text))
        except RunnerError:
            raise
        except Exception as error:  # of the user's code, which engines run to read it
            raise RunnerError(
                f"The source of trial {trial.number} cannot be written: {one_line(error)}."
            ) from error

    def weights(self, trial: Trial) -> Path:
        """Returns the path of a trial's weights, whether they were kept or not."""
        return trial_folder(self.folder, trial.owner) / WEIGHTS

    def job(self, trial: Trial) -> Job:
        """Returns a job that runs only this trial."""
        [job] = self._engine.plan([trial])
        return job

    def export_top_models(
        self, top_k: int = 3, formatter: Formatter = "dict"
    ) -> "list[Sample] | list[str] | list[nn.Module]":
        """Returns the best models, best first: samples, source, or modules with weights."""
        best = self.top(top_k)
        match formatter:
            case "dict":
                return [trial.sample for trial in best]
            case "code":
                return [self.source(trial).text for trial in best]
            case "instance":
                return [self.model(trial) for trial in best]
        raise ConfigError(f"formatter is {formatter!r}; it must be dict, code or instance.")

    @cached_property
    def _engine(self) -> "Engine":
        """The engine, which imports the code that the config names, if it is trusted."""
        from runner.engines.engine import make  # here: this imports torch

        settings = self._recorded.checked()
        try:
            return make(settings)
        except RunnerError:
            raise
        except Exception as error:  # of code that the config names
            raise RunnerError(f"The engine of {self.folder} fails: {one_line(error)}") from error

    def _repr_html_(self) -> str:
        from runner.display.tables import html

        return html(self.trials, self.goals)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {len(self.trials)} trials)"


def load(
    folder: Path | str,
    trust: Sequence[str] = (),
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    """Returns the run in a folder, for example `outputs/latest`.

    Only reads. To use models of a run that somebody else made, name the packages that its space
    needs and that you trust: `runner.load(folder, trust=["mypkg"])`. Models that need a secret of
    the config get it by `secrets={"space.token": "..."}`.
    """
    return Run(folder, trust, secrets)


def _check_trust(trust: Sequence[str]) -> None:
    names = [] if isinstance(trust, str) else [*trust]
    if isinstance(trust, str) or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"trust is {trust!r}; it must be a list of packages, such as ['mypkg'].")


def write_model(
    run: Run,
    trial: Trial,
    metrics: Mapping[str, Any],
    folder: Path,
    *,
    standalone: bool | None = None,
) -> None:
    """Writes a trial's model to a folder: `model.py`, its weights, its sample, its metrics.
    `standalone` is as for `Run.source`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(run.weights(trial).read_bytes())
    shape = tuple(run.settings.data.get("shape", ()))
    body = MAIN.format(weights=WEIGHTS) + (ONCE.format(shape=repr((2, *shape))) if shape else "")
    _write_source(run, trial, metrics, folder, standalone, heads=(TITLE, USAGE), body=body)


def write_untrained(run: Run, trial: Trial, folder: Path) -> None:
    """Writes a trial's model without weights to a folder: `model.py`, whose `build()` makes it, its
    sample, and its metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_source(run, trial, trial.metrics, folder, None, heads=(UNTRAINED, ""), body="")


def _write_source(
    run: Run,
    trial: Trial,
    metrics: Mapping[str, Any],
    folder: Path,
    standalone: bool | None,
    *,
    heads: tuple[str, str],
    body: str,
) -> None:
    """Writes what of a trial's model is text. `heads` are the title of the file and its usage, and
    `body` is the code that follows that of the model."""
    from runner.graph.codegen.load import CONSTANTS  # here: this imports torch

    for name, content in (("sample", trial.sample), ("metrics", metrics)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    source = run.source(trial, standalone=standalone)
    (folder / CONSTANTS).unlink(missing_ok=True)
    if source.constants is not None:
        (folder / CONSTANTS).write_bytes(source.constants)
    facts = {"run": run.folder.name, "trial": trial.number, "sample": trial.sample}
    title, usage = heads
    top = heading(title, {**facts, "metrics": metrics}, usage)
    (folder / MODEL).write_text(f"{top}\n{source.text}{body}", encoding="utf-8")


UNTRAINED = "The model of a trial, without the weights, which were not kept."

TITLE = "A model that a search found, with its weights beside it."

USAGE = """\
    python model.py           builds it, loads its weights, and runs it once
    from model import load    model = load()
"""

MAIN = '''

def load() -> nn.Module:
    """The model with its trained weights, in eval mode."""
    from pathlib import Path

    from safetensors.torch import load_model

    model = build()
    load_model(model, str(Path(__file__).with_name("{weights}")))
    return model.eval()


if __name__ == "__main__":
    model = load()
    print(f"{{sum(p.numel() for p in model.parameters()):,}} parameters")
'''

ONCE = """
    import torch

    x = torch.zeros{shape}
    print(f"{{tuple(x.shape)}} -> {{tuple(model(x).shape)}}")
"""
