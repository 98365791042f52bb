"""What Hydra wrote for a run or a sweep of which nothing came is removed; nothing else is."""

from runner.config.hydra_folder import HydraFolder


def test_new_folders_and_the_config_of_a_sweep_are_removed(tmp_path):
    folder = HydraFolder(tmp_path / "multirun" / "today" / "now")
    (tmp_path / "multirun" / "today" / "now").mkdir(parents=True)
    (tmp_path / "multirun" / "today" / "now" / "multirun.yaml").write_text("a: 1")
    folder.leave_no_trace()
    assert [*tmp_path.iterdir()] == []
    folder.leave_no_trace()


def test_empty_logs_are_removed_with_a_new_folder_only(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    folders = HydraFolder(new), HydraFolder(old)
    new.mkdir()
    for place in (new, old):
        (place / "x.log").touch()
    for folder in folders:
        folder.leave_no_trace()
    assert [*tmp_path.rglob("*")] == [old, old / "x.log"]


def test_what_a_run_or_a_member_left_stays(tmp_path):
    for i, name in enumerate(("0/run.db", "error.log", "notes.txt")):
        place = tmp_path / str(i)
        folder = HydraFolder(place)
        (place / name).parent.mkdir(parents=True)
        (place / name).write_text("x")
        (place / "multirun.yaml").touch()
        folder.leave_no_trace()
        assert (place / name).exists() and (place / "multirun.yaml").exists()


def test_what_was_there_before_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "multirun.yaml").write_text("a: 1")
    for place in (tmp_path / "mine", tmp_path / "empty"):
        place.mkdir(exist_ok=True)
        HydraFolder(place).leave_no_trace()
    assert (tmp_path / "mine" / "multirun.yaml").exists() and (tmp_path / "empty").is_dir()
