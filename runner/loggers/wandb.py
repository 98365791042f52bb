"""Weights & Biases (the `wandb` extra): a run of its own for each trial, in one group."""

import os
import shutil
import zlib
from typing import Any, Literal, final

from runner.display.format import clean
from runner.loggers.logger import BestModel, LoggedRun, Logger, flat, of_search, plain
from runner.trial import Metrics, Trial

INIT = 45  # seconds in which a run must begin: less than the search waits for a logger at its end


@final
class WeightsAndBiases(Logger):
    """A run of Weights & Biases for each trial that was trained, and one for the best model, with
    its files as an artifact.

    The key of your account comes from `wandb login` or the variable WANDB_API_KEY. With
    `mode=offline`, nothing leaves this machine until `wandb sync`. Trials that were shown to their
    end are not shown again when a run is continued. `group` is the name of the group; None: that of
    the run. `folder` is where a folder of the run is made for the files of wandb; None: they are in
    the run's own, below `wandb`.
    """

    extra = package = "wandb"

    def __init__(
        self,
        *,
        project: str,
        entity: str | None,
        group: str | None,
        tags: list[str],
        mode: Literal["online", "offline"],
        folder: str | None,
    ) -> None:
        self.project = project
        self.entity = entity
        self.group = group
        self.tags = tags
        self.mode = mode
        self.folder = folder

    def begin(self, run: LoggedRun) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._run = run
        self._place = run.place(self.folder, "wandb").resolve()
        self._place.mkdir(parents=True, exist_ok=True)
        # Its logs are there, which runs link to; a link out of the run's folder would be refused.
        os.environ["WANDB_CACHE_DIR"] = str(self._place / "cache")
        target = repr((self.mode, self.entity, self.project, os.environ.get("WANDB_BASE_URL")))
        # Which trials were shown there to their end: runs of wandb cannot be asked offline.
        self._note = self._place / f"shown-{zlib.crc32(target.encode()):08x}.txt"
        self._shown = {*self._note.read_text().split()} if self._note.exists() else set()
        self._open: dict[int, Any] = {}  # the runs of wandb of the trials that run

    def start(self, trial: Trial) -> None:
        if str(trial.number) in self._shown:
            return
        if trial.number in self._open:  # started again, it reports the same numbers for its steps
            return
        config = {
            "trial": trial.number,
            "sample": {clean(label): plain(value) for label, value in trial.sample.items()},
            "config": dict(flat(of_search(self._run.config))),
        }
        name = f"{trial.number:04d}"
        self._open[trial.number] = self._begin_run(name, f"trial {trial.number}", "trial", config)

    def report(self, trial: Trial, metrics: Metrics, time: float) -> None:
        if (run := self._open.get(trial.number)) is not None:
            run.log({clean(name): value for name, value in metrics.items()}, step=trial.step)

    def end(self, trial: Trial) -> None:
        if (run := self._open.pop(trial.number, None)) is None:
            return
        run.summary.update({clean(name): value for name, value in trial.metrics.items()})
        told = {"state": str(trial.state), "score": trial.score, "stage": trial.stage}
        run.summary.update({f"trial/{name}": value for name, value in told.items()})
        if trial.failure is not None:
            run.summary["trial/failure"] = clean(str(trial.failure))
        run.finish(exit_code=int(trial.failed))
        with self._note.open("a") as note:
            note.write(f"{trial.number}\n")

    def finish(self, best: BestModel) -> None:
        config = {"config": dict(flat(of_search(self._run.config)))}
        run = self._begin_run("best", f"best of {self._run.name}", "search", config)
        run.summary.update({clean(name): value for name, value in best.metrics.items()})
        run.summary["best trial"] = best.trial
        if best.folder is not None:
            import wandb

            artifact = wandb.Artifact(f"model-{self._run.id}", type="model")
            artifact.add_dir(str(best.folder))
            run.log_artifact(artifact)
        run.finish()

    def close(self) -> None:
        for run in self._open.values():
            run.finish(exit_code=1)

    def _begin_run(self, name: str, title: str, kind: str, config: dict[str, Any]) -> Any:
        """Begins a run of wandb, in place of one of the same name that was left half shown."""
        import wandb

        own = f"{self._run.id}-{name}"
        for half in (self._place / "wandb").glob(f"offline-run-*-{own}"):
            shutil.rmtree(half)
        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True,
            disable_job_creation=True, x_disable_stats=True, x_disable_machine_info=True,
            x_save_requirements=False, init_timeout=INIT,
        )  # fmt: skip
        return wandb.init(
            project=self.project, entity=self.entity, id=own, name=title,
            group=self.group or self._run.name, job_type=kind, tags=self.tags, config=config,
            dir=self._place, mode=self.mode, reinit="create_new", resume="allow",
            settings=settings,
        )  # fmt: skip
