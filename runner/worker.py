"""Runs a job: builds and evaluates its models and reports. All exceptions are caught here."""

import json
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from decimal import localcontext
from pathlib import Path
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from runner.candidate_scores import CandidateScores
from runner.checkpoints import TrainingState
from runner.config.allowlist import nodes
from runner.config.instantiate import build
from runner.config.targets import locate
from runner.constraints import parse_all
from runner.data.data import SearchData, Split
from runner.engines.engine import Engine
from runner.engines.inheritance import BaseModels
from runner.errors import Interrupted, Refused, RunnerError, message, one_line
from runner.evaluators.evaluator import Evaluator, NotFinite, StopTraining, TrainingRun
from runner.evaluators.race import Prospects
from runner.evaluators.running_trial import running_trials
from runner.evaluators.seeds import seed_model, seed_others
from runner.failures import failure_of, leave_traceback, located
from runner.fusion.program.program import Programs
from runner.masking import masker
from runner.measuring import Measures
from runner.model_header import add_facts
from runner.partial_training import PartialTraining, alike
from runner.process_care import ProcessCare
from runner.reported_metrics import plain_metrics
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
from runner.trial_check import check_training
from runner.weights import load_weights, save_weights
from runner.worker_data import WorkerData, configured
from runner.worker_device import clean, select

Send = Callable[[Report], None]
Heard = dict[int, list[Metrics]]  # the reports of each trial
CPU = torch.device("cpu")
T = TypeVar("T")


@final
class Worker:
    """An executor of jobs, one after another; keeps the data loaded in between."""

    def __init__(
        self, setup: Setup, device: torch.device, around: ProcessCare | None = None
    ) -> None:
        self.setup = setup
        self.device = device
        masker.learn(setup.secrets)
        self._around = around or ProcessCare()
        self._imported: set[str] = set()  # the targets of earlier jobs
        self._data = WorkerData(setup, self._around)
        self._table: tuple[Mapping[str, Any], Evaluator] | None = None  # one that looks results up
        self._bases = BaseModels()
        self._prospects = Prospects()
        self._measures = Measures(setup.measures, parse_all(setup.constraints), setup.trust)
        self._parts = PartialTraining(setup)
        self._scores = CandidateScores(setup.screen or {}, setup.trust)
        self._began = time.monotonic()  # its job

    def prepare(self) -> None:
        """Imports training code before the first job arrives; also torch's compiler if it is
        used, as its import takes as long as that of torch."""
        with suppress(Exception, SystemExit):  # the job will fail again, and report it
            if self.trains:
                select(self.device)
            if self.setup.evaluator.get("compile"):
                torch.optim.SGD([torch.zeros(1)])

    def load(self) -> None:
        """Loads the data before the first job arrives. The job will report any failure."""
        with suppress(Exception, SystemExit):
            self._data.search({})

    def run(self, job: Job, send: Send, stopped: Collection[int]) -> bool:
        """Runs a job to its end, whatever happens in it; every trial gets its final report.

        `stopped` are the trials to end early, and is read after each report. Returns False if the
        process is not fit for another job; trials of a group may then lack their final reports.
        """
        return _apart(self._run, job, send, stopped)

    def _run(self, job: Job, send: Send, stopped: Collection[int]) -> bool:
        self._began = time.monotonic()
        for number in job.trials:
            send(Report(number, "started"))
        self._import(job)
        try:
            if job.action == "test":
                ends = self._test(job, self._build(job, None))
            elif job.action == "screen":
                ends = self._screen(job, send)
            elif job.action == "check":
                ends = self._check(job)
            else:
                ends = self._train(job, self._build(job, self.setup.folder), send, stopped)
        except Interrupted:
            raise
        except BaseException as error:  # whatever a trial raises, it costs that trial only
            self._restore()
            failure = failure_of(error)
            if len(job.trials) > 1:
                return self._run_parts(job, error, failure, send, stopped)
            leave_traceback(trial_folder(self.setup.folder, job.number), error)
            ends = [Report(job.number, "failed", failure=failure)]
        for end in sorted(ends, key=lambda end: end.kind == "failed"):
            send(end)
        return self.finish()

    def follow(self, job: Job) -> None:
        """Takes part in the training of a job that another worker leads: reports nothing, and
        leaves no files. Raises whatever goes wrong; `finish` is to be called afterwards."""
        _apart(self._follow, job)

    def _follow(self, job: Job) -> None:
        self._import(job)
        try:
            models = self._build(job, None)
            if job.action == "check":
                self._check_training(job, models[0])
                return
            states = self._parts.starts(job, models, self._evaluator(job.samples[0]))
            facts: Sequence[Metrics] = [{} for _ in models]
            self._train_alike(job, models, facts, states, send=lambda report: None, stopped=())
        finally:
            self._restore()

    def finish(self) -> bool:
        """Tidies up after a job whose trials have ended; returns whether another may follow. A
        thread or a signal of a trial may interrupt it."""
        try:
            clean(self.device)
            return self._around.finish()
        except Interrupted:
            raise
        except BaseException as error:
            return self._around.late(f"{one_line(error)}, raised after its end")

    def _run_parts(
        self,
        job: Job,
        error: BaseException,
        failure: Failure,
        send: Send,
        stopped: Collection[int],
    ) -> bool:
        """Runs the trials of a failed job in smaller jobs, because one trial may have failed the
        others. These send their own final reports."""
        with suppress(OSError, ValueError):  # standard error is closed
            sys.stderr.write(masker.traceback(error))
        why = f"the group failed ({failure})"
        send(Report(job.number, "grouped", gain=Gain(len(job.trials), why=why)))
        memory = failure.reason == OUT_OF_MEMORY
        for number in job.trials:
            if number in stopped:
                send(Report(number, "stopped"))
        job = job.only([i for i, number in enumerate(job.trials) if number not in stopped])
        parts = job.parts(2 if memory else len(job.trials)) if job.trials else []
        return self.finish() and all(self._run(part, send, stopped) for part in parts)

    def _import(self, job: Job) -> None:
        """Imports what a job names and no earlier one did. What an import sets, such as a default
        dtype, is there for all trials; what a trial sets is not."""
        named = [*job.recipes, self.setup.evaluator, self.setup.data, self.setup.screen]
        new = {str(node["_target_"]) for _, node in nodes(named)} - self._imported
        if new:
            self._imported |= new
            for target in sorted(new):
                with suppress(Exception, SystemExit):  # the job will fail again, and report it
                    locate(target, self.setup.trust)
            self._around.keep()

    def _build(self, job: Job, folder: Path | None) -> Sequence[nn.Module]:
        """Returns the models of a job, each initialized from its own seed."""
        pairs = zip(job.seeds, job.recipes, strict=True)
        return [self._model(seed, recipe, folder) for seed, recipe in pairs]

    def _model(self, seed: int, recipe: Mapping[str, Any], folder: Path | None) -> nn.Module:
        torch.default_generator.manual_seed(seed)  # models are built on the CPU
        seed_others(seed, 0)
        return self._engine.build(recipe, folder)

    @property
    def _engine(self) -> type[Engine]:
        found: type[Engine] = locate(self.setup.engine, self.setup.trust)
        return found

    def _train(
        self, job: Job, models: Sequence[nn.Module], send: Send, stopped: Collection[int]
    ) -> list[Report]:
        if self.setup.initial_weights is not None:
            for model in models:
                load_weights(model, Path(self.setup.initial_weights))
        job, models, facts, ends = self._measured(job, models)
        if not job.trials:
            return ends
        states = self._parts.starts(job, models, self._evaluator(job.samples[0]))
        for places in alike(states):
            heard, early, lost = self._train_alike(
                job.only(places),
                [models[i] for i in places],
                [facts[i] for i in places],
                [states[i] for i in places],
                send=send,
                stopped=stopped,
            )
            for i in places:
                number, sample = job.trials[i], job.samples[i]
                end = lost.get(number)
                ends.append(
                    end or self._end(number, sample, models[i], heard[number], number in early)
                )
        return ends

    def _train_alike(
        self,
        job: Job,
        models: Sequence[nn.Module],
        facts: Sequence[Metrics],
        states: Sequence[TrainingState | None],
        *,
        send: Send,
        stopped: Collection[int],
    ) -> tuple[Heard, Collection[int], Mapping[int, Report]]:
        """Trains the models of a job, all from the same epoch on. Returns what each trial has
        reported, which trials were stopped early, and the final reports of those that failed."""
        heard: Heard = {number: [] for number in job.trials}
        early: set[int] = set()
        lost: dict[int, Report] = {}

        def report(metrics: Sequence[Metrics]) -> Collection[int]:
            for number, values, known in zip(job.trials, metrics, facts, strict=True):
                if values:
                    heard[number].append({**plain_metrics(values), **known})
                    send(Report(number, "metrics", heard[number][-1]))
            early.update(number for number in job.trials if number in stopped)
            if early.issuperset(job.trials):
                raise StopTraining
            return [place for place, number in enumerate(job.trials) if number in early]

        def tell(gain: Gain) -> None:
            if len(job.trials) > 1:
                send(Report(job.number, "grouped", gain=gain))

        before = [TrainingState(0, {}, {}) if state is None else state for state in states]
        self._repeat(job, before, heard, send)
        evaluators = [self._evaluator(sample) for sample in job.samples]
        data = self._data.search(job.samples[0])
        try:
            programs = self._programs(job)
            span = self._parts.span(
                job, states, evaluators[0], lambda place: heard[job.trials[place]],
                lambda place: before[place].seconds + self._seconds,
            )  # fmt: skip
            run = TrainingRun(
                self.device, job.seeds, report, evaluators, programs, tell, self._prospects, span,
                running_trials(self.setup.folder, job),
                went_on=lambda place, seconds: self._go_on(job.trials[place], seconds, send),
            )  # fmt: skip
            self._hold(data)
            with self._around.training(job, run) as shared:
                evaluators[0].evaluate(models, data, shared)
        except StopTraining:
            early.update(job.trials)
        except NotFinite as error:  # the other trials of the job have results
            for place in error.models:
                own = NotFinite(error.reasons.get(place, str(error)))
                number = job.trials[place]
                lost[number] = Report(number, "failed", failure=failure_of(own))
        finally:
            self._restore()
        return heard, early, lost

    def _repeat(self, job: Job, before: Sequence[TrainingState], heard: Heard, send: Send) -> None:
        """Reports what trials had reported before they were interrupted."""
        for number, state in zip(job.trials, before, strict=True):
            self._go_on(number, state.seconds, send)
            for metrics in state.reports:
                heard[number].append(metrics)
                send(Report(number, "metrics", metrics))

    def _go_on(self, number: int, seconds: float, send: Send) -> None:
        """Says that a trial which had run before, if so, started so many seconds before its job."""
        if seconds:
            send(Report(number, "started", ago=self._seconds + seconds))

    @property
    def _seconds(self) -> float:
        """For how many seconds its job has run."""
        return time.monotonic() - self._began

    def _measured(
        self, job: Job, models: Sequence[nn.Module]
    ) -> tuple[Job, Sequence[nn.Module], Sequence[Metrics], list[Report]]:
        """Returns the part of a job that keeps the constraints that are known before training, its
        models, what is known of each, and the final reports of the others."""
        facts: dict[int, Metrics] = {}
        refused = []
        for place, (number, model) in enumerate(zip(job.trials, models, strict=True)):
            try:
                facts[place] = self._facts(job.only([place]), model)
            except Refused as refusal:
                if len(job.trials) == 1:
                    raise
                refused.append(Report(number, "failed", failure=Failure.refused(refusal)))
        kept = job.only([*facts]) if refused else job
        return kept, [models[place] for place in facts], [*facts.values()], refused

    def _facts(self, job: Job, model: nn.Module) -> Metrics:
        """Returns metrics of a job's only model known before training, after weights were
        inherited. Raises Refused if they break a constraint."""
        if not self.trains:
            return {}
        [recipe], [known] = job.recipes, job.known or [{}]
        inherited: Metrics = {}
        if self.setup.initial_weights is None:
            inherited = self._engine.inherit(recipe, model, self.setup.folder, self._bases)
        figures = {"params": sum(p.numel() for p in model.parameters()), **known, **inherited}
        if not self._measures:
            return figures

        def again() -> nn.Module:
            [made] = self._build(job, None)
            return made

        def example() -> Tensor:
            data = self._data.search(job.samples[0])
            return next(iter(data.train.batches(1, CPU)))[0]

        return self._measures.of(model, again, example, self.device, figures)

    def _programs(self, job: Job) -> Sequence[Programs]:
        """Returns the programs of a job's models; none unless all are known."""
        found = [self._engine.programs(recipe) for recipe in job.recipes]
        known = [programs for programs in found if programs is not None]
        return known if len(known) == len(found) else ()

    def _end(
        self,
        number: int,
        sample: Sample,
        model: nn.Module,
        heard: Sequence[Metrics],
        early: bool,
    ) -> Report:
        """Saves a trained model and returns its final report."""
        if not heard:
            text = "the evaluator reported no metrics"
            return Report(number, "failed", failure=Failure("error", text))
        folder = trial_folder(self.setup.folder, number)
        add_facts(folder / MODEL, {"metrics": heard[-1]})
        is_kept = self.setup.keep_weights and self.trains and not early
        if is_kept and not self._parts.is_partial(sample):
            save_weights(model, folder / WEIGHTS)
        return Report(number, "stopped" if early else "finished")

    def _test(self, job: Job, models: Sequence[nn.Module]) -> list[Report]:
        for number, model in zip(job.trials, models, strict=True) if self.trains else ():
            load_weights(model, trial_folder(self.setup.folder, number) / WEIGHTS)
        evaluator = self._evaluator(job.samples[0])
        split = self._data.test(job.samples[0])
        self._hold(split)
        try:
            scores = evaluator.score(models, split, self.device)
        finally:
            self._restore()
        return [
            Report(number, "finished", {f"test/{name}": value for name, value in score.items()})
            for number, score in zip(job.trials, scores, strict=True)
        ]

    def _check(self, job: Job) -> list[Report]:
        """Trains the only model of a job for a few steps, to see whether it works, and how fast."""
        [model] = self._build(job, self.setup.folder)  # tracebacks point into its source
        try:
            self._facts(job, model)
            found = self._check_training(job, model)
        except BaseException as error:
            leave_traceback(trial_folder(self.setup.folder, job.number), error)
            return [Report(job.number, "failed", failure=located(error))]
        finally:
            self._restore()
        return [Report(job.number, "finished", found)]

    def _check_training(self, job: Job, model: nn.Module) -> Metrics:
        [seed], [sample] = job.seeds, job.samples
        evaluator, data = self._evaluator(sample), self._data.search(sample)
        seed_model(seed, 0)
        run = TrainingRun(self.device, [seed], lambda metrics: ())
        with self._around.training(job, run) as shared:
            return check_training(evaluator, model, data, shared)

    def _screen(self, job: Job, send: Send) -> list[Report]:
        """Scores the candidates of a trial one by one, and reports each; a failure costs that
        candidate only."""
        for place in range(len(job.recipes)):
            try:
                report = Report(job.number, "metrics", {str(place): self._scored(job, place)})
            except Interrupted:
                raise
            except BaseException as error:
                failure = failure_of(error)
                if isinstance(error, RunnerError):
                    failure = Failure(failure.reason, message(error))
                report = Report(job.number, "metrics", failure=failure)
            self._restore()
            clean(self.device)
            send(report)
        return [Report(job.number, "finished")]

    def _scored(self, job: Job, place: int) -> float:
        """Returns the score of a candidate, by the proxy of the search."""
        seed, sample = job.seeds[place], job.samples[place]

        def data() -> tuple[str, SearchData]:
            found = self._data.search(sample)
            return json.dumps(configured(self.setup, "data", sample), sort_keys=True), found

        model = self._model(seed, job.recipes[place], None)
        loss = self._evaluator(sample).training_loss()
        seed_model(seed, 0)
        return self._scores.of(model, data, loss, self.device)

    @property
    def trains(self) -> bool:
        """Whether the evaluator trains models, rather than look their results up."""
        kind = locate(self.setup.evaluator["_target_"], self.setup.trust)
        return getattr(kind, "trains", True)

    def _evaluator(self, sample: Sample) -> Evaluator:
        config = self._parts.config(sample, self._evaluator_class(sample))
        node = configured(self.setup, "evaluator", config)
        if self._table is not None and self._table[0] == node:
            return self._table[1]
        made: Evaluator = build(node, self.setup.trust)
        if not made.trains:
            self._table = node, made
        return made

    def _evaluator_class(self, sample: Sample) -> type[Evaluator]:
        target = configured(self.setup, "evaluator", sample)["_target_"]
        found: type[Evaluator] = locate(target, self.setup.trust)
        return found

    def _restore(self) -> None:
        """Restores what a trial changed: the process, and the data."""
        self._around.restore()
        self._data.take_back()

    def _hold(self, part: SearchData | Split) -> None:
        """A trial is given a part of the data. Looking up results changes none."""
        if self.trains:
            self._data.give(part)


def _apart(work: Callable[..., T], *given: Any) -> T:
    """Calls a function in a context of its own. That of decimals is an object which copies of a
    context share."""

    def call() -> T:
        with localcontext():
            return work(*given)

    return copy_context().run(call)
