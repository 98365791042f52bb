"""The engine `cgo`: models are graphs, as in `base`, and the models of a job are fused."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, final

import torch

from runner.config.targets import locate
from runner.engines.base import GraphEngine
from runner.engines.bounded_cache import BoundedCache
from runner.errors import GraphError, Refused, require
from runner.fusion.fuse import NotFused, fuse
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams
from runner.fusion.program.program import Programs
from runner.fusion.program.serialization import from_json, to_json
from runner.fusion.tracing.no_compiler import without_compiler
from runner.fusion.tracing.trace import programs_of
from runner.graph.frontend.frontends import AUTO
from runner.space.choice import JsonValue
from runner.space.sample import DrawError, Sample, generator, sample_key
from runner.trial import Job, Trial

log = logging.getLogger(__name__)
KEPT = 256  # models whose programs are cached
DRAWS = 8  # attempts per accepted sample of an example group


@final
class CgoEngine(GraphEngine):
    """An engine that runs several trials as one job. Its recipes also contain their models'
    programs."""

    def __init__(
        self,
        group: int,
        shape: Sequence[int],
        frontend: str = AUTO,
        *,
        space: Mapping[str, Any],
        mutators: Sequence[Mapping[str, Any]] = (),
        input: Sequence[int] | None = None,
        weights: str | None = None,
        trust: Sequence[str] = (),
        evaluator: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Trains up to `group` trials as one. `evaluator` is the config node of the evaluator;
        `frontend`, `weights` and `data` are as in `GraphEngine`."""
        require(group >= 1, "engine.group", group, "at least 1")
        super().__init__(
            shape, frontend, space=space, mutators=mutators, input=input, weights=weights,
            trust=trust, data=data,
        )  # fmt: skip
        self._shape = tuple(shape)
        self.group = group
        self._known: BoundedCache[Mapping[str, Any] | None] = BoundedCache(KEPT)
        self._shares: tuple[str, ...] = ()
        if evaluator is not None:
            kind: Any = locate(evaluator["_target_"], trust, "evaluator")
            self._shares = tuple(kind.shares)
            if not kind.fusible:
                self.group = 1
                self.notice = (
                    f"{evaluator['_target_']} trains models with custom code, which cannot be "
                    "fused: trials run one at a time, as with engine=base."
                )

    def plan(self, trials: Sequence[Trial], jobs: int = 1) -> Iterable[Job]:
        for alike in self._fusable(trials):
            fair = round(jobs * len(alike) / len(trials))  # the share of these trials in the jobs
            count = max(-(-len(alike) // self.group), min(fair, len(alike)))
            bounds = [len(alike) * part // count for part in range(count + 1)]
            for start, stop in pairwise(bounds):
                yield self._job(alike[start:stop])

    def _fusable(self, trials: Sequence[Trial]) -> Iterable[Sequence[Trial]]:
        """Returns sets of trials that may share a job, each sorted by similarity."""
        found: dict[str, list[Trial]] = defaultdict(list)
        for trial in trials:
            told = {
                label: self._grouping_value(label, value) for label, value in trial.sample.items()
            }
            config = {label: values for label, values in told.items() if values}
            found[sample_key(config)].append(trial)
        for alike in found.values():
            yield sorted(alike, key=lambda trial: sample_key(trial.sample))

    def _grouping_value(self, label: str, value: JsonValue) -> list[JsonValue]:
        """Returns the part of a chosen value that must be equal within a job: all of it, the class
        it names, or nothing."""
        group, _, rest = label.partition(".")
        free = any(rest == name or rest.startswith(f"{name}.") for name in self._shares)
        if group == "data" or (group == "evaluator" and not (free and "_target_" not in rest)):
            return [value]
        named = group == "evaluator" and isinstance(value, dict)
        return [value["_target_"]] if named and "_target_" in value else []

    def _job(self, trials: Sequence[Trial]) -> Job:
        recipes = [self.recipe(trial) for trial in trials]
        if len(trials) > 1:
            recipes = [
                {**recipe, "programs": self._programs_of(recipe, trial.sample)}
                for recipe, trial in zip(recipes, trials, strict=True)
            ]
        return Job.of(trials, recipes)

    def _programs_of(self, recipe: Mapping[str, Any], sample: Sample) -> Mapping[str, Any] | None:
        """Returns the programs of a trial's model, shared by all trials with the same source."""
        if "source" not in recipe:
            return None  # its own code failed
        key = f"{recipe['source']}{recipe['constants']}"
        return self._known.get(key, lambda: self._programs(sample))

    def _programs(self, sample: Sample) -> Mapping[str, Any] | None:
        """Returns the programs of a sample's model; None if it cannot be traced."""
        try:
            graph = self.compiled(sample)
            programs = without_compiler(lambda: programs_of(graph, self._shape))
        except (DrawError, GraphError) as error:
            log.debug("A model has no program: %s", error)
            return None
        return {"train": to_json(programs.train), "eval": to_json(programs.eval)}

    @staticmethod
    def programs(recipe: Mapping[str, Any]) -> Programs | None:
        found = recipe.get("programs")
        return found and Programs(from_json(found["train"]), from_json(found["eval"]))

    def explain(self) -> str:
        samples = self._examples()
        trials = [Trial(i, sample, 0) for i, sample in enumerate(samples)]
        if self.group == 1:
            return f"Trials run one at a time. {self.notice}".strip()
        if not trials:
            return f"All of {DRAWS * self.group} random samples were refused; no group is shown."
        job = max(self.plan(trials), key=lambda job: len(job.trials))
        models = [self.build(recipe) for recipe in job.recipes]
        programs = [found for recipe in job.recipes if (found := self.programs(recipe))]
        head = f"A group of {len(models)} random models"
        if len(programs) < len(models) or len(models) < 2:
            return f"{head} would be trained one after another: not all of them can be traced."
        streams = Streams([0] * len(models), torch.device("cpu"))
        try:
            fused = fuse(models, [p.train for p in programs], Parameters(), streams)
        except NotFused as reason:
            return f"{head} would be trained one after another: {reason}."
        return EXPLAINED.format(head=head, **vars(fused))

    def _examples(self) -> list[Sample]:
        """Returns random samples for a group, at most `group`, without refused ones."""
        samples: list[Sample] = []
        for i in range(DRAWS * self.group):
            if len(samples) == self.group:
                break
            with suppress(DrawError, Refused):
                sample = self.space.random(generator(0, "explain", i))
                self.key(sample)
                samples.append(sample)
        return samples


EXPLAINED = """\
{head}, trained as one: {launches} launches for {operations} operations, \
{copies} of them after a copy of their operands. Each launch is followed by its operations and \
their models. Whether fusion is faster is measured during training.

{source}"""
