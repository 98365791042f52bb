"""The task `retrain`: trains one model of a run again, at full length."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal, final

from runner.config.instantiate import at, put
from runner.config.settings import FIRST, WEIGHTS, BudgetSettings, Settings
from runner.config.targets import locate
from runner.database import has_events
from runner.display import format as text
from runner.display import progress
from runner.errors import ConfigError
from runner.goals import Goals
from runner.results import Run
from runner.resume import folder_of
from runner.search import search
from runner.space.sample import Sample
from runner.tasks.task import Task

ONLY = "strategy.first[0]"
CHECKPOINTS = 50  # of a training, if the config does not say how often
INITIAL = "initial.safetensors"  # the weights to start from, in the folder of the new run
GIVEN = "runner.strategies.given.GivenSamples"
NEVER = "runner.stoppers.none.Never"


@final
class Retrain(Task):
    """A task that runs a search of one given sample, so that record, resume and export are those of
    a search."""

    of_run = True

    def __init__(
        self,
        run: str,
        trial: int | str | None,
        sample: str | dict[str, Any] | None,
        start: Literal["scratch", "weights"],
    ) -> None:
        if trial is not None and sample is not None:
            raise ConfigError("trial and sample are both given; one of them is trained.")
        self._run, self._sample, self._start = run, sample, start
        self._trial = "best" if trial is None else trial

    def run(self, settings: Settings, folder: Path) -> float | None:
        if settings.resume is not None:
            return search(settings, folder, is_latest=False, goes_on=True)
        settings, said = self._prepared(settings, folder)
        progress.note(said)
        try:
            return search(settings, folder, is_latest=False, goes_on=True)
        except ConfigError as error:  # the only sample to try is the one that was given here
            raise ConfigError(str(error).replace(ONLY, "sample")) from error

    @progress.waiting("loading")
    def _prepared(self, settings: Settings, folder: Path) -> tuple[Settings, str]:
        """Returns the settings of the training, and a sentence about it."""
        run = Run(folder_of("run", self._run), settings.trust, settings.secrets)
        evaluator = locate(settings.evaluator["_target_"], settings.trust, "evaluator")
        if not evaluator.trains:
            raise ConfigError(
                f"evaluator ({evaluator.__name__}) looks results up, so nothing can be trained "
                "again; give another one, as in evaluator=classification."
            )
        sample, which = self._chosen(run)
        settings = _whole_training(_with_choices(settings, run.settings, sample))
        if self._start == "weights":
            settings = self._from_weights(settings, run, folder)
        said = f"Training {which} of {text.near(run.folder)} again, in {text.near(folder)}."
        return settings, said

    def _chosen(self, run: Run) -> tuple[Sample, str]:
        """Returns the sample to train, and what it is."""
        if self._sample is None:
            trial = run.trial(self._trial)
            return trial.sample, f"trial {trial.number}"
        if isinstance(self._sample, str):
            return sample_of_file(Path(self._sample)), f"the sample in {self._sample}"
        return self._sample, "a given sample"

    def _from_weights(self, settings: Settings, run: Run, folder: Path) -> Settings:
        """Copies the weights to start from into the new run, so that it depends on no other."""
        if self._sample is not None:
            raise ConfigError("from=weights needs a trial, whose weights they are, and no sample.")
        trial = run.trial(self._trial)
        source = run.weights(trial)
        if not source.is_file():
            raise ConfigError(
                f"The weights of trial {trial.number} were not kept: {source} does not exist. "
                "Train it from scratch (from=scratch), or give a trial of the top ones, whose "
                "weights are kept."
            )
        if not has_events(folder):  # else it goes on, and has them
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / INITIAL)
        return settings.model_copy(update={"initial_weights": str((folder / INITIAL).resolve())})


def sample_of_file(path: Path) -> Sample:
    """Returns the sample in a JSON file, such as `top/1/sample.json`. Raises ConfigError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"sample is {str(path)!r}: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"sample is {str(path)!r}, which is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ConfigError(
            f"sample is {str(path)!r}, which contains no sample: that is an object of labels and "
            "values, as in sample.json of an exported model."
        )
    return found


def _with_choices(settings: Settings, recorded: Settings, sample: Sample) -> Settings:
    """Returns settings in which the hyper-parameters that a sample chose are set, but for those
    that were overridden, and its other values are the only sample to try."""
    plain = settings.model_dump()
    before = recorded.model_dump()
    searched = {*(settings.search or ())}
    given = {label: value for label, value in sample.items() if label in searched}
    if (fidelity := settings.fidelity) is not None:
        searched.add(fidelity.key)
        given[fidelity.key] = fidelity.max
    for label, value in given.items():
        if at(plain, label) == at(before, label):
            put(plain, label, value)
    rest = {label: value for label, value in sample.items() if label not in searched}
    plain |= {"search": None, "fidelity": None}
    plain["strategy"] = {"_target_": GIVEN, FIRST: [rest]}
    return Settings.model_validate(plain).with_secrets_of(settings)


def _whole_training(settings: Settings) -> Settings:
    """Returns the settings of a run of one trial that is trained to its end, whatever its search
    stopped, refused, screened or repeated."""
    bounds = [bound.metric for bound in Goals.of_settings(settings).constraints]
    measures = [name for name in bounds if name in settings.measure]
    changes: dict[str, Any] = {
        "budget": BudgetSettings(trials=1, minutes=None, epochs=None, cost=None),
        "stopper": {"_target_": NEVER},
        "constraints": [],
        "measures": [*dict.fromkeys([*settings.measures, *measures])],
        "space": {**settings.space, **({WEIGHTS: None} if WEIGHTS in settings.space else {})},
        "evaluator": _saving(settings),
        "export": settings.export.model_copy(update={"top": 1, "keep_weights": 1}),
    }
    off = {"prior": None, "screen": None, "confirm": None, "compare": None, "repeat": 1}
    return settings.model_copy(update=changes | off)


def _saving(settings: Settings) -> dict[str, Any]:
    """Returns the evaluator, which saves its training if it can and the config does not say how
    often."""
    node = settings.evaluator
    if "checkpoint" not in node or node["checkpoint"] is not None:
        return node
    return {**node, "checkpoint": {"every": max(1, node["epochs"] // CHECKPOINTS)}}
