"""MLflow (the `mlflow` extra): a run for the search, and below it one for each trial."""

import os
import re
import time as clock
import zlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, final
from urllib.parse import urlsplit

from runner.display.format import clean, cut
from runner.errors import ConfigError
from runner.loggers.logger import BestModel, LoggedRun, Logger, flat, of_search
from runner.trial import Metrics, Trial

LONGEST_NAME, LONGEST_VALUE = 250, 6000  # characters that MLflow takes
MANY = 100  # parameters that it takes at once, and metrics that fit with them
RUN, TRIAL = "runner.run", "runner.trial"  # tags, by which a run that is continued finds its trials
SEARCH = "search"  # in place of the number of a trial
_STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


@final
class MLflow(Logger):
    """A run of MLflow for the search, with the config and the best model, and a nested one for each
    trial that was trained.

    `tracking_uri` is a server, or a database such as `sqlite:///mlflow.db`; None: the variable
    MLFLOW_TRACKING_URI, or else a database in the run's own folder, below `mlflow`. Passwords
    belong in MLFLOW_TRACKING_PASSWORD. Trials that were shown to their end are not shown again when
    a run is continued; one that was left half shown is replaced.
    """

    extra = package = "mlflow"

    def __init__(self, *, experiment: str, tracking_uri: str | None) -> None:
        self.experiment = experiment
        self.tracking_uri = tracking_uri

    def check(self) -> None:
        if self.tracking_uri is not None and urlsplit(self.tracking_uri).password is not None:
            raise ConfigError(
                "logger.mlflow.tracking_uri contains a password, which the record of the run would "
                "keep; set the variable MLFLOW_TRACKING_PASSWORD, or all of it as "
                "MLFLOW_TRACKING_URI."
            )
        super().check()

    def begin(self, run: LoggedRun) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        uri, files = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"), None
        if uri is None:
            place = run.place(None, "mlflow").resolve()
            place.mkdir(parents=True, exist_ok=True)
            uri, files = f"sqlite:///{place}/mlflow.db", f"{(place / 'files').as_uri()}"
        self._run = run
        self._client: Any = MlflowClient(uri)
        found = self._client.get_experiment_by_name(self.experiment)
        self._experiment: str = (
            self._client.create_experiment(self.experiment, artifact_location=files)
            if found is None
            else found.experiment_id
        )
        self._open: dict[int, str] = {}  # the runs of MLflow of the trials that run
        earlier = {one.data.tags[TRIAL]: one for one in self._found()}
        parent = earlier.pop(SEARCH, None)
        self._shown = set()
        for number, one in earlier.items():
            if one.info.status in _STATES.values():
                self._shown.add(number)
            else:
                self._client.delete_run(one.info.run_id)
        if parent is None:
            self._parent = self._create(SEARCH, run.name, {})
            self._log_params(self._parent, dict(flat(of_search(run.config))))
        else:
            self._parent = parent.info.run_id
            self._client.update_run(self._parent, status="RUNNING")

    def start(self, trial: Trial) -> None:
        if str(trial.number) in self._shown:
            return
        if trial.number in self._open:  # it is started again
            self._client.delete_run(self._open.pop(trial.number))
        tags = {"mlflow.parentRunId": self._parent}
        own = self._create(str(trial.number), f"trial {trial.number}", tags)
        self._log_params(own, dict(flat(trial.sample)))
        self._open[trial.number] = own

    def report(self, trial: Trial, metrics: Metrics, time: float) -> None:
        if (own := self._open.get(trial.number)) is not None:
            self._log_metrics(own, metrics, trial.step, time)

    def end(self, trial: Trial) -> None:
        if (own := self._open.pop(trial.number, None)) is None:
            return
        ended = trial.ended_at or clock.time()
        tags = {"state": str(trial.state), "stage": trial.stage}
        if trial.failure is not None:
            tags["failure"] = clean(str(trial.failure))
        for key, value in tags.items():
            self._client.set_tag(own, f"runner.{key}", cut(value, LONGEST_VALUE))
        self._client.set_terminated(own, _STATES[trial.state], int(1000 * ended))

    def finish(self, best: BestModel) -> None:
        known = self._client.get_run(self._parent).data.metrics
        new = {k: v for k, v in best.metrics.items() if repr(known.get(_name(k))) != repr(v)}
        self._log_metrics(self._parent, new, best.trial, clock.time())
        self._client.set_tag(self._parent, "runner.best", str(best.trial))
        if best.folder is not None:
            self._client.log_artifacts(self._parent, str(best.folder), "model")
        self._client.set_terminated(self._parent, "FINISHED")

    def close(self) -> None:
        for own in self._open.values():
            self._client.update_run(own, status="SCHEDULED")  # it will be started again

    def _found(self) -> Iterator[Any]:
        """Yields the runs of MLflow that show this run."""
        token: str | None = None
        while token != "":
            page = self._client.search_runs(
                [self._experiment], f"tags.`{RUN}` = '{self._run.id}'", page_token=token
            )
            yield from page
            token = page.token or ""

    def _create(self, trial: str, name: str, tags: Mapping[str, str]) -> str:
        own = {RUN: self._run.id, TRIAL: trial, **tags}
        created = self._client.create_run(self._experiment, tags=own, run_name=name)
        found: str = created.info.run_id
        return found

    def _log_params(self, own: str, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        params = [Param(_name(k), cut(str(v), LONGEST_VALUE)) for k, v in values.items()]
        for at in range(0, len(params), MANY):
            self._client.log_batch(own, params=params[at : at + MANY])

    def _log_metrics(self, own: str, values: Metrics, step: int, time: float) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(_name(k), float(v), int(1000 * time), step) for k, v in values.items()]
        for at in range(0, len(metrics), MANY):
            self._client.log_batch(own, metrics=metrics[at : at + MANY])


def _name(name: str) -> str:
    """Returns a name that MLflow takes: it allows few characters, and what could be a path must be
    a plain one. A name that is changed gets a suffix, so that no two become one."""
    path = re.sub(r"[^\w.\- :/]", "_", name, flags=re.ASCII)
    parts = PurePosixPath(path).parts
    if path != "/".join(parts) or not parts or {"/", ".."} & {*parts}:
        path = re.sub(r"[./]", "_", path) or "_"
    if path == name and len(name) <= LONGEST_NAME:
        return name
    return f"{path[: LONGEST_NAME - 9]}-{zlib.crc32(name.encode(errors='replace')):08x}"
