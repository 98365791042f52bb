"""A search of toys made from its parts, without any config."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from services import make_service

from runner.config.instantiate import build
from runner.display.progress import Progress
from runner.engines.engine import Engine
from runner.engines.py import PyEngine
from runner.errors import Refused
from runner.experiment import Experiment
from runner.goals import Goals, Objective
from runner.limits import Budget
from runner.prescreen import Prescreen
from runner.space.sample import sample_key
from runner.space.space import JointSpace, search_space
from runner.stages import BaselineStage, ConfirmStage
from runner.stoppers.stopper import Stopper
from runner.store import RECORD, Store, read
from runner.strategies.repeated import Repeated
from runner.trial import Job, Setup, Trial

NET = {"_target_": "toy.Net"}
ARITHMETIC = {"_target_": "toy.Arithmetic", "epochs": 2, "lr": 0.5, "sleep": 0.0}
NOTHING = {"_target_": "toy.Nothing", "shape": [1], "classes": 2}
GOALS = Goals((Objective("val/accuracy", "max"),))
STRATEGIES = {
    "random": {"_target_": "runner.strategies.random.Random"},
    "grid": {"_target_": "runner.strategies.grid.Grid", "resolution": 5},
    "evolution": {
        "_target_": "runner.strategies.evolution.Evolution",
        "population_size": 4, "sample_size": 2, "crossover": 0.0, "retries": 3,
    },
    "tpe": {
        "_target_": "runner.strategies.optuna.OptunaStrategy",
        "sampler": {
            "_target_": "optuna.samplers.TPESampler", "_partial_": True, "n_startup_trials": 4,
        },
    },
}  # fmt: skip


# A search of MLPs in this process: overrides of the command line.
MLP = ["space=mlp", "training=inline", "training.device=cpu", "evaluator.epochs=2",
       "strategy=random"]  # fmt: skip
CONF = Path(__file__).parents[2] / "conf"


def make_stopper(name: str, goals: Goals = GOALS, **changes: Any) -> Stopper:
    """The stopper of a name, as it is configured but for arguments of its pruner."""
    node = yaml.safe_load((CONF / "stopper" / f"{name}.yaml").read_text())
    node.get("pruner", {}).update(changes)
    made: Stopper = build(node, (), goals=goals)
    return made


def trouble(kind: str, folder: Path, width: int = 2) -> dict[str, Any]:
    """An evaluator that does something bad for one width."""
    return {"_target_": "toy.Trouble", "kind": kind, "width": width, "folder": str(folder)}


class Recorder(Progress):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.notes: list[str] = []

    def begin(self) -> None:
        return

    def show(self, trial: Trial) -> None:
        self.trials.append(trial)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self) -> None:
        return


class Picky(Engine):
    """Engine py, but it refuses a width of 2, and the kernel makes no difference to it."""

    def __init__(self, **given) -> None:
        self._engine = PyEngine(**given)
        self.space = self._engine.space

    def key(self, sample):
        if sample["width"] == 2:
            raise Refused("A width of 2 does not fit:\n3 does.")
        return sample_key({label: value for label, value in sample.items() if label != "kernel"})

    def plan(self, trials, jobs=1):
        return self._engine.plan(trials)

    build = PyEngine.build

    def source(self, trial, *, standalone=False):
        return self._engine.source(trial, standalone=standalone)


class Stubborn(Picky):
    """Refuses everything."""

    def key(self, sample):
        raise Refused("Nothing fits.")


class Grouped(Engine):
    """Engine py, with up to four trials in a job."""

    group = 4

    def __init__(self, **given) -> None:
        self._engine = PyEngine(**given)
        self.space = self._engine.space

    def plan(self, trials, jobs=1) -> Iterable[Job]:
        parts = list(self._engine.plan(trials))
        for at in range(0, len(parts), self.group):
            yield merged(parts[at : at + self.group])

    build = PyEngine.build

    def source(self, trial, *, standalone=False):
        return self._engine.source(trial, standalone=standalone)


def history(trials):
    """What must be equal between two runs: all but the times."""
    return [(t.number, t.sample, t.seed, t.state, dict(t.metrics), t.score, t.duplicate_of,
             t.parent, str(t.failure)) for t in trials]  # fmt: skip


def cut(folder, events):
    """Leave only the first events of a record, as a kill just behind them would have."""
    db = sqlite3.connect(folder / RECORD)
    db.execute("delete from events where id > ?", (events,))
    db.commit()
    count = db.execute("select count(*) from events").fetchone()[0]
    db.close()
    return count


def merged(jobs):
    fields = ("trials", "seeds", "samples", "recipes")
    return Job(*([x for job in jobs for x in getattr(job, field)] for field in fields))


class Search:
    """A search of toys in one folder, made from its parts; can be run again to go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = Recorder()
        self.measure = lambda sample, key: {}  # what the driver measures
        self.ended: list[Trial] = []
        self.on_end = self.ended.append
        self.summary = ""  # of the screen
        self.left: list[str] = []  # what the service said about what trials left behind

    def run(self, trials: int = 6, *, strategy: str = "random", space=NET, evaluator=ARITHMETIC,
            search=None, dedup=True, service="inline", seed=0, engine=PyEngine,
            builds="runner.engines.py.PyEngine", stopper="none", epochs=None, repeat=1,
            confirm=None, compare=False, screen=None, **limits):  # fmt: skip
        engine = engine(space=space, trust=["toy", "mutable"])
        whole = JointSpace([engine.space, search_space(search)]) if search else engine.space
        told = screen and {"proxy": screen[0], "batch_size": 4}
        setup = Setup(builds, evaluator, NOTHING, tuple(search or ()), ("toy", "mutable"),
                      self.folder, screen=told)  # fmt: skip
        prescreen = screen and Prescreen("mine", screen[1], GOALS.objectives[0], repeat)
        made = make_service(service, setup, limits)
        fresh = not (self.folder / RECORD).exists()
        try:
            with Store(self.folder, GOALS) as store:
                if fresh:
                    store.begin({"objective": vars(GOALS.objectives[0])})
                strategy = build(STRATEGIES[strategy], (), space=whole, seed=seed)
                Experiment(
                    space=whole, engine=engine, service=made, store=store, seed=seed, dedup=dedup,
                    strategy=Repeated(strategy, repeat) if repeat > 1 else strategy,
                    further=self._further(whole, seed, repeat, confirm, compare),
                    stopper=make_stopper(stopper) if isinstance(stopper, str) else stopper,
                    epochs=evaluator.get("epochs"),
                    progress=self.progress, on_end=self.on_end,
                    budget=Budget(trials, epochs=epochs),
                    measure=self.measure, prescreen=prescreen,
                ).run()  # fmt: skip
                self.left = [*made.notes()]
                self.summary = prescreen.summary() if prescreen else ""
        finally:
            made.close()
        return self.trials

    def _further(self, space, seed, repeat, confirm, compare):
        note, stages = self.progress.note, []
        if compare:
            stages.append(BaselineStage(space, seed, None, repeat, note))
        if confirm:
            stages.append(ConfirmStage(*confirm, repeat, note))
        return stages

    @property
    def trials(self) -> list[Trial]:
        return read(self.folder, GOALS).trials
