"""The report of a run is written at once, from its record alone, and nothing else is touched."""

from pathlib import Path

import pytest
from records import BEGUN
from reported import hostile_events, searched
from searches import GOALS

from runner.errors import ConfigError
from runner.report import write as module
from runner.report.write import REPORT, write_report
from runner.store import RECORD, Store


def test_it_is_one_file_in_the_folder_of_the_run(make):
    folder = make(*searched(12))
    before = {path.name for path in folder.iterdir()}
    path = write_report(folder)
    assert path == folder / REPORT
    assert {path.name for path in folder.iterdir()} - before == {REPORT}
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "Importance of choices" in text


def test_what_takes_long_is_left_for_the_end_of_the_search(make, monkeypatch):
    monkeypatch.setattr(module, "importance_of", lambda *_: pytest.fail("computed"))
    path = write_report(make(*searched(12)), is_running=True, quick=True)
    text = path.read_text(encoding="utf-8")
    assert "computed once the search has ended" in text


def test_a_hostile_record_is_written_too(make):
    assert write_report(make(*hostile_events())).stat().st_size


def test_a_link_in_its_place_is_replaced_and_not_followed(make, tmp_path):
    folder = make(*searched(3))
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (folder / REPORT).symlink_to(precious)
    write_report(folder)
    assert precious.read_text() == "mine"
    assert not (folder / REPORT).is_symlink()


def test_a_folder_in_its_place_is_named_in_one_sentence(make):
    folder = make(*searched(3))
    (folder / REPORT).mkdir()
    with pytest.raises(ConfigError) as error:
        write_report(folder)
    assert str(error.value) == (
        f"{folder / REPORT} is a folder, but the report is a file of that name; rename or delete "
        "the folder."
    )
    assert [*folder.glob(".report*")] == []


def test_an_error_names_the_report_and_no_file_that_nobody_knows(make, monkeypatch):
    folder = make(*searched(3))

    def denied(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", denied)
    with pytest.raises(PermissionError, match=f"'{folder / REPORT}'$"):
        write_report(folder)


def test_a_page_that_cannot_be_written_leaves_the_old_one(make, monkeypatch):
    folder = make(*searched(3))
    old = write_report(folder).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_report(folder)
    assert (folder / REPORT).read_bytes() == old
    assert not [*folder.glob(f".{REPORT}*")]


def test_a_run_that_goes_on_can_be_reported(search):
    search.run()
    with Store(search.folder, GOALS):
        assert write_report(search.folder).exists()


@pytest.mark.parametrize("name", ["none", "file", "empty"])
def test_a_folder_that_is_no_run_is_refused_in_one_line(name, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=f"no run in .*: it has no {RECORD}") as error:
        write_report(tmp_path / name)
    assert "\n" not in str(error.value)


def test_reading_changes_no_record(make):
    folder = make(BEGUN, *searched(9)[1:])
    before = (folder / RECORD).read_bytes(), (folder / RECORD).stat().st_mtime_ns
    write_report(folder)
    assert ((folder / RECORD).read_bytes(), (folder / RECORD).stat().st_mtime_ns) == before
