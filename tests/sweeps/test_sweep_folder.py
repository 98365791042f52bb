"""The files about a sweep: whole or not there, and never trusted further than the folder."""

import math

import pytest

from runner.errors import RunFailed
from runner.sweeps.sweep_folder import MemberRecord, SweepFolder, SweepRequest


@pytest.fixture
def folder(tmp_path):
    found = SweepFolder(tmp_path)
    found.begin(SweepRequest(name="x", arguments=["-m"], shuffle=1))
    return found


def test_what_is_written_is_read(folder):
    one = MemberRecord(number=10, overrides=["seed=1"], label="seed=1")
    two = one.model_copy(update={"number": 9, "state": "running", "folder": "9"})
    for member in (one, two.ended(0.5, [0.5, -2.0]), two.failed("why", 2)):
        folder.write(member)
    assert [*folder.members()] == [two.failed("why", 2), one]
    assert folder.member(3) is None and folder.request().arguments == ["-m"]
    assert {path.name for path in folder.place.iterdir()} == {"10.json", "9.json", "sweep.json"}


def test_a_value_that_is_no_number_is_none():
    member = MemberRecord(number=0, overrides=[], label="")
    assert member.ended(math.nan, []).value is None and member.ended(math.inf, []).value is None


@pytest.mark.parametrize("place", ["..", "../other", "/etc", "0/../../x"])
def test_the_run_of_a_member_lies_in_the_folder_of_its_sweep(place, folder):
    member = MemberRecord(number=0, overrides=[], label="", folder=place)
    with pytest.raises(RunFailed, match=r"0\.json names the folder .*; it must be below"):
        folder.run_of(member)


@pytest.mark.parametrize("text", ["", "[]", '{"number": 0}', '{"number": -1}', "NaN"])
def test_a_damaged_file_of_a_member_is_said_in_one_line(text, folder):
    (folder.place / "0.json").write_text(text)
    with pytest.raises(RunFailed, match=r"0\.json cannot be ") as error:
        folder.member(0)
    assert len(str(error.value).splitlines()) == 1


def test_the_file_of_another_member_is_refused(folder):
    folder.write(MemberRecord(number=1, overrides=[], label=""))
    (folder.place / "1.json").rename(folder.place / "0.json")
    with pytest.raises(RunFailed, match="is about member 1; it must be about 0"):
        folder.member(0)


def test_a_request_that_somebody_changed_is_not_this_users():
    signed = SweepRequest(name="x", arguments=["-m", "seed=1"], shuffle=1).signed()
    assert signed.doubt == ""
    for change in ({"arguments": ["-m"]}, {"shuffle": 2}, {"name": "y"}, {"signature": None}):
        assert signed.model_copy(update=change).doubt


def test_what_is_forgotten_is_gone(folder):
    folder.forget()
    assert not folder.place.exists()
