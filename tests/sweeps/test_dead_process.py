"""How a process of a launcher died, from what joblib says."""

from concurrent.futures import BrokenExecutor

import pytest

from runner.sweeps.dead_process import exit_code, how_it_died

SAID = "The exit codes of the workers are {}\nDetailed tracebacks should have been printed."


@pytest.mark.parametrize(
    ("codes", "how", "code"),
    [
        ("{SIGTERM(-15)}", "was killed by SIGTERM", 143),
        ("{SIGKILL(-9), SIGTERM(-15)}", "was killed by SIGKILL (manually, or by the ", 137),
        ("{EXIT(3)}", "ended with exit code 3", 3), ("{ODD(-77)}", "was killed by signal 77", 205),
        ("{}", "ended: BrokenExecutor: The exit codes of", 1), ("{EXIT(0)}", "ended with exit", 1),
    ],
)  # fmt: skip
def test_what_joblib_says_of_it_is_told_in_words(codes, how, code):
    error = BrokenExecutor(SAID.replace("{}", codes))
    assert how_it_died(error).startswith(how) and exit_code(error) == code


def test_joblib_says_it_so():
    utils = pytest.importorskip("joblib.externals.loky.backend.utils")
    assert utils._format_exitcodes([-9, 3]) == "{SIGKILL(-9), EXIT(3)}"
