"""Folders that processes share while they run."""

import subprocess
import sys

import pytest

from runner.training import scratch
from runner.training.scratch import Scratch


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_a_folder_is_of_its_own_and_goes_when_it_is_closed(root):
    one, other = Scratch(), Scratch()
    assert one.folder != other.folder and one.folder.stat().st_mode & 0o777 == 0o700
    one.close()
    one.close()
    assert not one.folder.exists() and other.folder.exists()
    other.close()
    assert not [*root.iterdir()]


def test_a_shared_folder_goes_with_the_last_who_leaves_it():
    one, other = Scratch("shared"), Scratch("shared")
    assert one.folder == other.folder
    one.close()
    assert other.folder.is_dir()
    other.close()
    assert not other.folder.exists()


def test_what_a_killed_process_left_is_swept_and_nothing_else(root):
    """Neither what is in use, nor what merely looks like it."""
    code = (
        "import os, signal, sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from runner.training import scratch\n"
        f"scratch.tempfile.gettempdir = lambda: {str(root)!r}\n"
        "(scratch.Scratch('killed').folder / 'file').write_text('left')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    killed = root / f"{scratch.PREFIX}killed"
    assert (killed / "file").is_file()
    target = root / "target"
    target.mkdir()
    link = root / f"{scratch.PREFIX}link"
    link.symlink_to(target)
    used = Scratch("used")
    Scratch().close()
    assert not killed.exists() and used.folder.is_dir() and link.is_symlink() and target.is_dir()
    used.close()
