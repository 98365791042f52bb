"""Runs a job: builds and evaluates its models and reports. All exceptions are caught here."""

import errno
import gc
import json
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from runner.config.instantiate import build, put
from runner.config.targets import locate
from runner.data.data import Data
from runner.engines.engine import Engine
from runner.engines.inheritance import BaseModels
from runner.errors import Refused, message, one_line
from runner.evaluators.evaluator import Evaluator, NotFinite, StopTraining, TrainingRun
from runner.evaluators.race import Prospects
from runner.fusion.program.program import Programs
from runner.model_header import add_facts
from runner.space.sample import Sample
from runner.trial import (
    MODEL,
    OUT_OF_MEMORY,
    WEIGHTS,
    Failure,
    Gain,
    Job,
    Metrics,
    Report,
    Setup,
    trial_folder,
)
from runner.weights import load_weights, save_weights

Send = Callable[[Report], None]


@final
class Worker:
    """An executor of jobs, one after another; keeps the data loaded in between."""

    def __init__(self, setup: Setup, device: torch.device) -> None:
        self.setup = setup
        self.device = device
        self._data: tuple[str, Data] | None = None
        self._bases = BaseModels()
        self._prospects = Prospects()

    def prepare(self) -> None:
        """Imports training code before the first job arrives. The first optimizer of a process
        imports a second's worth of torch."""
        with suppress(Exception):  # the job will fail again, and report it
            kind: type[Evaluator] = locate(self.setup.evaluator["_target_"], self.setup.trust)
            if kind.fusible:
                torch.optim.SGD([torch.zeros(1)])

    def load(self) -> None:
        """Loads the data before the first job arrives. The job will report any failure."""
        with suppress(Exception):
            self._load({}).search()

    def run(self, job: Job, send: Send, stopped: Collection[int]) -> None:
        """Runs a job to its end, whatever happens in it; every trial gets its final report.

        `stopped` are the trials to end early, and is read after each report.
        """
        for number in job.trials:
            send(Report(number, "started"))
        try:
            if job.action == "test":
                ends = self._test(job, self._build(job, None))
            else:
                ends = self._train(job, self._build(job, self.setup.folder), send, stopped)
        except (Exception, SystemExit) as error:
            failure = _failure(error)
            if len(job.trials) == 1:
                self._leave_traceback(job.number, error)
                ends = [Report(job.number, "failed", failure=failure)]
            else:
                traceback.print_exception(error)
                why = f"the group failed ({failure})"
                send(Report(job.number, "grouped", gain=Gain(len(job.trials), why=why)))
                ends = []
                self._run_parts(job, failure, send, stopped)
        for end in sorted(ends, key=lambda end: end.kind == "failed"):
            send(end)
        self._clean()

    def _run_parts(self, job: Job, failure: Failure, send: Send, stopped: Collection[int]) -> None:
        """Runs the trials of a failed job in smaller jobs, because one trial may have failed the
        others. These send their own final reports."""
        self._clean()
        memory = failure.reason == OUT_OF_MEMORY
        for part in job.parts(2 if memory else len(job.trials)):
            self.run(part, send, stopped)

    def _build(self, job: Job, folder: Path | None) -> Sequence[nn.Module]:
        """Returns the models of a job, each initialized from its own seed."""
        models = []
        for seed, recipe in zip(job.seeds, job.recipes, strict=True):
            torch.default_generator.manual_seed(seed)  # models are built on the CPU
            models.append(self._engine.build(recipe, folder))
        return models

    @property
    def _engine(self) -> type[Engine]:
        found: type[Engine] = locate(self.setup.engine, self.setup.trust)
        return found

    def _train(
        self, job: Job, models: Sequence[nn.Module], send: Send, stopped: Collection[int]
    ) -> list[Report]:
        facts = [
            self._facts(recipe, model) for recipe, model in zip(job.recipes, models, strict=True)
        ]
        heard: dict[int, Metrics] = {}
        early: set[int] = set()
        lost: dict[int, Report] = {}

        def report(metrics: Sequence[Metrics]) -> Collection[int]:
            for number, values, known in zip(job.trials, metrics, facts, strict=True):
                if values:
                    plain = {str(name): float(value) for name, value in values.items()}
                    heard[number] = plain | known
                    send(Report(number, "metrics", heard[number]))
            early.update(number for number in job.trials if number in stopped)
            if early.issuperset(job.trials):
                raise StopTraining
            return [place for place, number in enumerate(job.trials) if number in early]

        def tell(gain: Gain) -> None:
            if len(job.trials) > 1:
                send(Report(job.number, "grouped", gain=gain))

        evaluators = [self._evaluator(sample) for sample in job.samples]
        data = self._load(job.samples[0]).search()
        try:
            programs = self._programs(job)
            run = TrainingRun(
                self.device, job.seeds, report, evaluators, programs, tell, self._prospects
            )
            evaluators[0].evaluate(models, data, run)
        except StopTraining:
            early.update(job.trials)
        except NotFinite as error:  # the other trials of the job have results
            for place in error.models:
                own = NotFinite(error.reasons.get(place, str(error)))
                number = job.trials[place]
                lost[number] = Report(number, "failed", failure=_failure(own))
        return [
            lost.get(number) or self._end(number, model, heard, number in early)
            for number, model in zip(job.trials, models, strict=True)
        ]

    def _facts(self, recipe: Mapping[str, Any], model: nn.Module) -> dict[str, float]:
        """Returns metrics known before training, after weights were inherited."""
        inherited = self._engine.inherit(recipe, model, self.setup.folder, self._bases)
        return {"params": sum(p.numel() for p in model.parameters()), **inherited}

    def _programs(self, job: Job) -> Sequence[Programs]:
        """Returns the programs of a job's models; none unless all are known."""
        found = [self._engine.programs(recipe) for recipe in job.recipes]
        known = [programs for programs in found if programs is not None]
        return known if len(known) == len(found) else ()

    def _end(
        self, number: int, model: nn.Module, heard: Mapping[int, Metrics], early: bool
    ) -> Report:
        """Saves a trained model and returns its final report."""
        if number not in heard:
            text = "the evaluator reported no metrics"
            return Report(number, "failed", failure=Failure("error", text))
        folder = trial_folder(self.setup.folder, number)
        add_facts(folder / MODEL, {"metrics": heard[number]})
        if self.setup.keep_weights:
            save_weights(model, folder / WEIGHTS)
        return Report(number, "stopped" if early else "finished")

    def _test(self, job: Job, models: Sequence[nn.Module]) -> list[Report]:
        for number, model in zip(job.trials, models, strict=True):
            load_weights(model, trial_folder(self.setup.folder, number) / WEIGHTS)
        evaluator = self._evaluator(job.samples[0])
        scores = evaluator.score(models, self._load(job.samples[0]).test(), self.device)
        return [
            Report(number, "finished", {f"test/{name}": value for name, value in score.items()})
            for number, score in zip(job.trials, scores, strict=True)
        ]

    def _evaluator(self, sample: Sample) -> Evaluator:
        made: Evaluator = build(self._node("evaluator", sample), self.setup.trust)
        return made

    def _load(self, sample: Sample) -> Data:
        node = self._node("data", sample)
        key = json.dumps(node, sort_keys=True)
        if self._data is None or self._data[0] != key:
            self._data = None  # frees the old data before loading the new
            self._data = (key, build(node, self.setup.trust))
        return self._data[1]

    def _node(self, group: str, sample: Sample) -> Mapping[str, Any]:
        """Returns a config node with the values that the sample chose for it."""
        node: Mapping[str, Any] = getattr(self.setup, group)
        chosen = [label for label in self.setup.search if label.startswith(f"{group}.")]
        config = {group: deepcopy(node) if chosen else node}
        for label in chosen:
            if label in sample:
                put(config, label, sample[label])
        return config[group]

    def _leave_traceback(self, number: int, error: BaseException) -> None:
        folder = trial_folder(self.setup.folder, number)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error.txt").write_text("".join(traceback.format_exception(error)))
        except OSError:  # a full disk: the report still contains the first line
            return

    def _clean(self) -> None:
        gc.collect(1)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _failure(error: BaseException) -> Failure:
    """Returns the failure that an exception means, for the record."""
    text = one_line(error)
    if isinstance(error, Refused):  # only here, such as by a condition on initial weights
        return Failure.refused(error)
    if isinstance(error, NotFinite):
        return Failure("not finite", message(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        return Failure("disk full", text)
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if memory or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
        return Failure(OUT_OF_MEMORY, text)
    return Failure("error", text)
