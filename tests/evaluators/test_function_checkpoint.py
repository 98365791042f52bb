"""States that a user's training code keeps: read back as they were, or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from runner.errors import ConfigError
from runner.evaluators.function_checkpoint import FunctionCheckpoint


def of(path: Path, seed: int = 0, reports: list[Any] | None = None) -> FunctionCheckpoint:
    sent = [] if reports is None else reports
    return FunctionCheckpoint(path / "state.pt", seed, sent.append)


def test_there_is_nothing_at_first(tmp_path: Path) -> None:
    assert of(tmp_path).load() is None


def test_a_state_is_read_back_with_what_was_reported(tmp_path: Path) -> None:
    model, first = nn.Linear(2, 2), of(tmp_path)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    first.heard({"a": 0.5})
    first.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3})
    reports: list[Any] = []
    found = of(tmp_path, reports=reports).load()
    assert found["epoch"] == 3 and reports == [{"a": 0.5}]
    assert torch.equal(found["model"]["weight"], model.weight)
    torch.optim.AdamW(model.parameters()).load_state_dict(found["optimizer"])


def test_the_seconds_of_earlier_sessions_are_summed_up(tmp_path: Path) -> None:
    told: list[float] = []
    for _ in range(2):
        one = FunctionCheckpoint(tmp_path / "state.pt", 0, lambda metrics: None, told.append)
        one.load()
        one.load()  # nothing is counted twice
        one._began -= 100  # it runs for a while
        one.save({})
    assert len(told) == 2 and 100 <= told[0] == told[1] < 150
    FunctionCheckpoint(tmp_path / "state.pt", 0, lambda metrics: None, told.append).load()
    assert 200 <= told[-1] < 250


def test_random_numbers_go_on(tmp_path: Path) -> None:
    torch.manual_seed(1)
    of(tmp_path).save({})
    expected = torch.rand(3)
    torch.manual_seed(2)
    of(tmp_path).load()
    assert torch.equal(torch.rand(3), expected)


def test_the_state_of_another_seed_is_not_taken(tmp_path: Path) -> None:
    of(tmp_path, seed=1).save({"epoch": 1})
    assert of(tmp_path, seed=2).load() is None


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b"", lambda b: b"x" * len(b)])
def test_a_damaged_file_is_no_state(damage: Any, tmp_path: Path) -> None:
    of(tmp_path).save({"epoch": 1})
    path = tmp_path / "state.pt"
    path.write_bytes(damage(path.read_bytes()))
    assert of(tmp_path).load() is None


class Foreign:
    """No plain value."""


def ran() -> None:
    """What a pickle could call."""


@pytest.mark.parametrize("state", [Foreign(), {"a": ran}, {"a": [lambda: 1]}, nn.Linear(1, 1)])
def test_what_could_not_be_read_back_safely_is_refused(state: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"checkpoint\.save was given .*tensors, numbers"
    ) as error:
        of(tmp_path).save(state)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "state.pt").exists()


def test_a_file_that_would_run_code_is_no_state(tmp_path: Path) -> None:
    torch.save({"state": ran, "seed": 0, "reports": [], "random": {}}, tmp_path / "state.pt")
    assert of(tmp_path).load() is None


def test_deleting_leaves_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    one = of(folder)
    one.delete()
    one.save({"epoch": 1})
    (folder / "other.txt").touch()
    one.delete()
    assert [path.name for path in folder.iterdir()] == ["other.txt"]
