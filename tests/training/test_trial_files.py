"""Files of trials travel whole, once, and only where they belong."""

from pathlib import Path

import pytest

from runner.errors import RunnerError
from runner.training.trial_files import MIDWAY, Seal, TrialFiles


def write(folder: Path, files):
    for name, content in files.items():
        path = folder / "trials" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def two(tmp_path):
    """Two copies of a run's folder, and what each knows of the other."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    return [(tmp_path / name, TrialFiles(tmp_path / name)) for name in ("here", "there")]


def test_each_file_is_sent_once_until_it_changes(two):
    (here, ours), (there, theirs) = two
    write(here, {"0000/model.py": b"one", "0000/files/a/b": b"", "0001/model.py": b"other"})
    sent = ours.pack([0])
    assert {*sent} == {"trials/0000/model.py", "trials/0000/files/a/b"}
    theirs.unpack(sent, [0])
    assert (there / "trials/0000/model.py").read_bytes() == b"one"
    assert not ours.pack([0]) and not theirs.pack([0])
    write(there, {"0000/model.py": b"two"})
    ours.unpack(theirs.pack([0]), [0])
    assert (here / "trials/0000/model.py").read_bytes() == b"two"
    assert not ours.pack([0]) and not theirs.pack([0])


def test_a_file_that_is_gone_on_one_side_goes_on_the_other(two):
    (here, ours), (there, theirs) = two
    write(here, {"0000/state.pt": b"1", "0000/model.py": b"2"})
    theirs.unpack(ours.pack([0]), [0])
    (there / "trials/0000/state.pt").unlink()
    sent = theirs.pack([0])
    assert sent == {"trials/0000/state.pt": None}
    ours.unpack(sent, [0])
    assert not (here / "trials/0000/state.pt").exists()
    assert (here / "trials/0000/model.py").exists() and not theirs.pack([0])


def test_half_written_files_links_and_empty_output_stay(two, tmp_path):
    (here, ours), _ = two
    write(
        here, {"0000/weights.partial": b"1", "0000/state.pt.partial": b"2", "0000/output.txt": b""}
    )
    (tmp_path / "secret").write_text("secret")
    (here / "trials/0000/link").symlink_to(tmp_path / "secret")
    assert ours.pack([0]) == {}
    write(here, {"0000/output.txt": b"words"})
    assert ours.pack([0]) == {"trials/0000/output.txt": b"words"}


@pytest.mark.parametrize(
    "key",
    [
        "trials/0001/model.py",
        "trials/0000/../0001/x",
        "run.db",
        "../x",
        "/etc/passwd",
        "trials/0000x",
    ],
)
def test_a_file_of_no_trial_of_the_job_is_refused(two, key):
    (here, ours), _ = two
    with pytest.raises(RunnerError, match="none of its trials"):
        ours.unpack({key: b""}, [0])
    assert not [*here.rglob("*")]


def test_a_checkpoint_that_is_new_is_noticed(two):
    (here, ours), _ = two
    write(here, {"0000/checkpoint.safetensors": b"1", "0001/model.py": b"2"})
    assert ours.changed([0, 1], MIDWAY) == {0}
    ours.pack([0])
    assert ours.changed([0, 1], MIDWAY) == set()
    write(here, {"0000/checkpoint.safetensors": b"12"})
    assert ours.changed([0, 1], MIDWAY) == {0}


def test_a_seal_tells_the_folder_from_others_of_its_path(tmp_path):
    left = Seal.of(tmp_path / "new")
    seal = Seal.of(tmp_path / "new")
    assert not left.is_visible()
    assert seal.is_visible()
    assert not Seal(seal.path, "other").is_visible()
    seal.remove()
    seal.remove()
    assert not seal.is_visible() and not [*(tmp_path / "new").iterdir()]
