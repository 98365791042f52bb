"""The key of a user: made once, read by nobody else, and never needed for a run."""

import multiprocessing
import os
import stat

import pytest

from runner.signature import SIZE, KeyUnusable, doubt, key_file, sign

CONFIG = {"trust": ["toy"], "space": {"_target_": "toy.Net", "x": [1.5, None, "é"]}}


@pytest.fixture(autouse=True)
def config_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


def test_what_this_user_signed_is_known_again():
    signature = sign("run", CONFIG)
    assert doubt("run", dict(reversed(CONFIG.items())), signature) == ""
    assert sign("run", CONFIG) == signature


@pytest.mark.parametrize(
    ("run", "config"),
    [
        ("another", CONFIG),
        ("", CONFIG),
        ("run", CONFIG | {"trust": ["toy", "os"]}),
        ("run", CONFIG | {"space": {"_target_": "toy.Fragile"}}),
        ("run", CONFIG | {"more": None}),
        ("run", {"trust": ["toy"]}),
        ("run", {}),
    ],
)
def test_a_signature_holds_for_one_config_of_one_run(run, config):
    assert doubt(run, config, sign("run", CONFIG)) == "its record is signed with another key"


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", "\udc80", "x" * 10_000])
def test_what_is_no_signature_is_none(signature):
    sign("run", CONFIG)
    assert "another key" in doubt("run", CONFIG, signature)
    assert "not signed" in doubt("run", CONFIG, None)


def test_another_user_has_another_key(tmp_path, monkeypatch):
    signature = sign("run", CONFIG)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    assert "cannot be verified" in doubt("run", CONFIG, signature)
    assert sign("run", CONFIG) != signature
    assert "another key" in doubt("run", CONFIG, signature)


def test_the_key_is_for_its_owner_alone_and_nothing_else_is_left_beside_it(config_home):
    sign("run", CONFIG)
    path = key_file()
    assert path.is_relative_to(config_home) and path.stat().st_size == SIZE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_relative_config_folder_is_ignored_and_home_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("relative/folder", ""):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert key_file().is_relative_to(tmp_path / "home" / ".config")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert key_file().is_relative_to(tmp_path / "home" / ".config")


def _sign(_: int) -> str:
    return sign("run", CONFIG)


def test_processes_that_start_together_make_one_key():
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_sign, range(8), chunksize=1))) == 1


def _open_to_all(path):
    path.chmod(0o644)


def _short(path):
    path.write_bytes(b"short")
    path.chmod(0o600)


def _folder(path):
    path.unlink()
    path.mkdir()


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("spoil", [_open_to_all, _short, _folder, _pipe, _link])
def test_a_key_that_is_none_is_not_used_and_says_why(spoil):
    signature = sign("run", CONFIG)
    spoil(key_file())
    with pytest.raises(KeyUnusable, match=f"the key {key_file()} "):
        sign("run", CONFIG)
    assert str(key_file()) in doubt("run", CONFIG, signature)


def test_a_user_without_a_place_for_a_key_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(KeyUnusable, match="cannot be made: Not a directory"):
        sign("run", CONFIG)
    monkeypatch.setattr("pathlib.Path.home", _homeless)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    with pytest.raises(KeyUnusable, match="no home folder"):
        sign("run", CONFIG)
    assert "no home folder" in doubt("run", CONFIG, "x")


def _homeless():
    raise RuntimeError("Could not determine home directory.")
