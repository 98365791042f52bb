"""Plain values are read from a pickle, and nothing that one names is imported or called."""

import os
import pickle

import numpy
import pytest

from runner.errors import ConfigError
from runner.tables.plain_pickle import load_plain

PLAIN = {"421211": {"acc": [82.1, 81], "name": None}, 3: [True, (1, 2)]}


def written(tmp_path, content):
    path = tmp_path / "table.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read(tmp_path, protocol):
    assert load_plain(written(tmp_path, pickle.dumps(PLAIN, protocol))) == PLAIN


@pytest.mark.parametrize("number", [numpy.float64(0.1), numpy.float32(0.5), numpy.int64(-7)])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_scalar_of_numpy_becomes_a_number(tmp_path, number, protocol):
    [read] = load_plain(written(tmp_path, pickle.dumps([number], protocol)))
    assert read == number.item() and type(read) is type(number.item())


def test_a_scalar_of_an_old_numpy_becomes_a_number(tmp_path):
    content = pickle.dumps(numpy.float64(0.797), 2).replace(b"numpy._core", b"numpy.core")
    assert load_plain(written(tmp_path, content)) == 0.797


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    "value",
    [Evil(), [numpy.zeros(2)], {"a": 1j}, print, numpy.float16(1), numpy.datetime64(0, "s")],
)
def test_anything_else_is_refused_and_not_run(here, value):
    with pytest.raises(ConfigError, match=r"The table '.*table.pkl' cannot be read: "):
        load_plain(written(here, pickle.dumps(value)))
    assert [path.name for path in here.iterdir()] == ["table.pkl"]


def test_a_damaged_or_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"table.pkl' cannot be read"):
        load_plain(written(tmp_path, pickle.dumps(PLAIN)[:-9]))
    with pytest.raises(ConfigError, match=r"nothing.pkl' cannot be read"):
        load_plain(tmp_path / "nothing.pkl")
