"""`task=report` writes the report of any run, and asks its space only if that is trusted."""

import io
import json
import re

import pytest
import records
import rich
from reported import searched
from rich.console import Console

from runner.config.settings import Settings
from runner.errors import ConfigError, RunFailed
from runner.report import write
from runner.report.write import REPORT
from runner.tasks.report import Report

SETTINGS = Settings.model_validate(
    records.CONFIG | {"task": {"_target_": "runner.tasks.report.Report", "run": "x"}, "trust": []}
)


@pytest.fixture
def output(monkeypatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=file, width=300, legacy_windows=False))
    return file


def data_of(folder):
    text = (folder / REPORT).read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_a_trusted_run_tells_all_candidates_and_their_conditions(output, tmp_path):
    folder = records.write(tmp_path / "run", *records.WHOLE)
    settings = SETTINGS.model_copy(update={"trust": ["toy"]})
    Report(str(folder)).run(settings, tmp_path / "own")
    choices = {choice["label"]: choice for choice in data_of(folder)["choices"]}
    assert choices["width"]["candidates"] == ["1", "2", "3"]
    assert choices["kernel"]["when"] == "depth = 2"
    assert output.getvalue().splitlines()[-1].strip() == f"The report is in {folder / REPORT}."
    assert not (tmp_path / "own").exists()


def test_a_foreign_run_is_reported_without_its_code(output, tmp_path):
    folder = records.write(tmp_path / "run", *records.WHOLE)
    Report(str(folder)).run(SETTINGS, tmp_path / "own")
    [width, *_] = data_of(folder)["choices"]
    assert (width["candidates"], width["seen"]) == (["1"], True)
    assert "The space of the run was not asked: The run in" in output.getvalue()
    assert "was not asked for its candidates" in (folder / REPORT).read_text(encoding="utf-8")


def test_a_space_that_fails_costs_its_candidates_only(output, tmp_path):
    config = records.configured(space={"_target_": "toy.Nowhere"})
    folder = records.write(tmp_path / "run", config, *records.WHOLE[1:])
    settings = SETTINGS.model_copy(update={"trust": ["toy"]})
    Report(str(folder)).run(settings, tmp_path / "own")
    assert "The space of the run was not asked" in output.getvalue()
    assert len(data_of(folder)["trials"]) == 1


def test_the_config_of_any_program_is_reported(output, tmp_path):
    folder = records.write(tmp_path / "run", *searched(9))
    Report(str(folder)).run(SETTINGS, tmp_path / "own")
    assert len(data_of(folder)["trials"]) == 9


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="There is no run in"):
        Report(str(tmp_path)).run(SETTINGS, tmp_path / "own")
    for name in ("", "a\0b"):
        with pytest.raises(ConfigError, match="it must be the folder of a run"):
            Report(name).run(SETTINGS, tmp_path / "own")


def test_a_link_that_leads_out_of_the_run_is_refused(tmp_path):
    folder = records.write(tmp_path / "run", *records.WHOLE)
    (folder / "trials").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="leads out"):
        Report(str(folder)).run(SETTINGS, tmp_path / "own")
    assert not (folder / REPORT).exists()


def test_a_report_that_cannot_be_written_says_so_and_nothing_of_the_run(
    output, tmp_path, monkeypatch
):
    folder = records.write(tmp_path / "run", *records.WHOLE)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.Path, "replace", full)
    with pytest.raises(RunFailed) as error:
        Report(str(folder)).run(SETTINGS, tmp_path / "own")
    assert str(error.value).startswith("The report was not written: ")
    assert f"{folder / REPORT}" in str(error.value)
    assert ".report" not in str(error.value)
