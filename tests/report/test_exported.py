"""The test metrics of exported models are those of the trials with their samples."""

import json

import pytest

from runner.report.exported import metrics_on_test
from runner.trial import State, Trial

TRIALS = [
    Trial(number=i, sample={"a": i % 2}, seed=0, state=State.FINISHED, scores=(1.0,))
    for i in range(3)
]


def export(folder, place, sample, metrics):
    (folder / "top" / place).mkdir(parents=True)
    for name, content in (("sample", sample), ("metrics", metrics)):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "top" / place / f"{name}.json").write_text(text)


def test_only_test_metrics_are_taken_and_of_equal_samples_the_first(tmp_path):
    export(tmp_path, "1", {"a": 1}, {"val/accuracy": 1.0, "test/accuracy": 0.5, "test/loss": 2})
    export(tmp_path, "2", {"a": 0}, {"test/accuracy": 0.25})
    assert metrics_on_test(tmp_path, TRIALS) == {
        1: {"test/accuracy": 0.5, "test/loss": 2.0},
        0: {"test/accuracy": 0.25},
    }


@pytest.mark.parametrize(
    ("sample", "metrics"),
    [
        ({"a": 7}, {"test/accuracy": 0.5}), ("[", {"test/accuracy": 0.5}), ({"a": 1}, "[1]"),
        ({"a": 1}, {"test/accuracy": "high"}), ({"a": 1}, {"test/accuracy": True}),
        ('{"a":' * 900 + "1" + "}" * 900, {"test/accuracy": 0.5}), ({"a": 1}, "{" * 2_000_000),
    ],
)  # fmt: skip
def test_what_no_export_wrote_is_left_out(sample, metrics, tmp_path):
    export(tmp_path, "1", sample, metrics)
    assert metrics_on_test(tmp_path, TRIALS) == {}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    export(tmp_path / "other", "1", {"a": 1}, {"test/accuracy": 0.5})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "top").symlink_to(tmp_path / "other" / "top")
    assert metrics_on_test(tmp_path / "run", TRIALS) == {}
    assert metrics_on_test(tmp_path / "none", TRIALS) == {}
