"""Files that are written whole: nobody sees a part of one, whatever ends the writer."""

import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from runner.whole_files import partial_of, whole, write_whole


@pytest.mark.parametrize("content", ["text, e.g. \N{GREEK SMALL LETTER ALPHA}\n", b"\x00\xff\r\n"])
@pytest.mark.parametrize("has_rivals", [False, True])
def test_a_file_has_what_was_written_and_nothing_lies_beside_it(content, has_rivals, tmp_path):
    path = tmp_path / "new" / "a.json"
    for _ in range(2):
        write_whole(path, content, has_rivals=has_rivals)
        written = content.encode() if isinstance(content, str) else content
        assert path.read_bytes() == written and [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("has_rivals", [False, True])
def test_a_writer_that_fails_leaves_the_old_file(has_rivals, tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), whole(path, has_rivals=has_rivals) as new:
        new.write_text("ne")
        raise OSError("full")
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("has_rivals", [False, True])
def test_an_error_names_the_file_and_none_that_nobody_knows(has_rivals, tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=f"'{path}'$"):
        write_whole(path, "", has_rivals=has_rivals)
    assert [*tmp_path.iterdir()] == [path]


def test_what_a_killed_writer_left_is_replaced_by_the_next(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    code = f"""
        import os, signal, pathlib
        from runner.whole_files import whole
        with whole(pathlib.Path({str(path)!r})) as new:
            new.write_text("half of the n")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)])
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old" and partial_of(path).read_text() == "half of the n"
    write_whole(path, "new")
    assert path.read_text() == "new" and [*tmp_path.iterdir()] == [path]


def test_no_link_is_followed(tmp_path):
    other, path = tmp_path / "other", tmp_path / "a"
    other.write_text("theirs")
    for link in (path, partial_of(path)):
        link.symlink_to(other)
    write_whole(path, "ours")
    assert other.read_text() == "theirs"
    assert path.read_text() == "ours" and not path.is_symlink()


def test_rivals_leave_one_whole_file(tmp_path):
    path, contents = tmp_path / "a", {letter * 100_000 for letter in "abcd"}
    write_whole(path, "a" * 100_000)
    seen, done = set(), threading.Event()

    def write(content):
        for _ in range(50):
            write_whole(path, content, has_rivals=True)

    def look():
        while not done.is_set():
            seen.add(path.read_text())

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    reader = threading.Thread(target=look)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    assert seen <= contents and [*tmp_path.iterdir()] == [path]
