"""TensorBoard (the `tensorboard` extra): curves of all trials, and a table of them."""

import shutil
from pathlib import Path
from typing import Any, final

from runner.display.format import clean
from runner.loggers.logger import BestModel, LoggedRun, Logger, flat
from runner.trial import Metrics, Trial


@final
class TensorBoard(Logger):
    """A folder of event files for each trial that was trained: `tensorboard --logdir FOLDER`.

    They are written anew when a run is continued. `folder` is where a folder of the run is made for
    them; None: they are in the run's own, below `tensorboard`.
    """

    extra = package = "tensorboard"

    def __init__(self, *, folder: str | None) -> None:
        self.folder = folder

    def begin(self, run: LoggedRun) -> None:
        self._place = run.place(self.folder, "tensorboard")
        self._place.mkdir(parents=True, exist_ok=True)
        for old in self._place.glob("trial_*"):
            shutil.rmtree(old)
        self._files: dict[int, _EventFile] = {}  # of the trials that run

    def start(self, trial: Trial) -> None:
        folder = self._place / f"trial_{trial.number:04d}"
        if trial.number in self._files:  # it is started again
            self._files.pop(trial.number).close()
            shutil.rmtree(folder)
        self._files[trial.number] = file = _EventFile(folder)
        file.add_sample({**dict(flat(trial.sample)), "trial": trial.number}, trial.started_at)

    def report(self, trial: Trial, metrics: Metrics, time: float) -> None:
        self._files[trial.number].add_scalars(metrics, trial.step, time)

    def end(self, trial: Trial) -> None:
        file = self._files.pop(trial.number, None)
        if file is None:  # it was not trained
            return
        file.add_end(not trial.failed, trial.ended_at)
        file.close()

    def finish(self, best: BestModel) -> None:
        shutil.rmtree(self._place / "best", ignore_errors=True)
        file = _EventFile(self._place / "best")
        file.add_scalars(best.metrics, best.trial, None)
        where = "" if best.folder is None else f", in {clean(str(best.folder))}"
        file.add_text("best", f"trial {best.trial}{where}")
        file.close()

    def close(self) -> None:
        for file in self._files.values():
            file.close()


@final
class _EventFile:
    """An event file of TensorBoard; what is added is in the file at once."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(folder))

    def add_sample(self, sample: dict[str, Any], start: float | None) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._add(hparams_pb(sample, start_time_secs=start), 0, start)

    def add_end(self, success: bool, time: float | None) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
        info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time)
        data = plugin_data_pb2.HParamsPluginData(
            session_end_info=info, version=metadata.PLUGIN_DATA_VERSION
        )
        plugin = SummaryMetadata.PluginData(
            plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString()
        )
        about = SummaryMetadata(plugin_data=plugin)
        value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about)
        self._add(Summary(value=[value]), 0, time)

    def add_scalars(self, metrics: Metrics, step: int, time: float | None) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=clean(k), simple_value=v) for k, v in metrics.items()]
        self._add(Summary(value=values), step, time)

    def add_text(self, name: str, text: str) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto

        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        words = TensorProto(dtype="DT_STRING", string_val=[text.encode()])
        value = Summary.Value(tag=name, metadata=about, tensor=words)
        self._add(Summary(value=[value]), 0, None)

    def _add(self, summary: Any, step: int, time: float | None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(summary=summary, step=step)
        event.wall_time = 0.0 if time is None else time
        self._writer.add_event(event)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
