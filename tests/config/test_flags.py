"""Flags of the command line: unknown ones are named, and a pickle is never read."""

import pytest

from runner.config.flags import asks_for_help, check_flags
from runner.errors import ConfigError

WRONG = {
    "unknown": (["--nope"], r"Unrecognized arguments: --nope; --hydra-help lists"),
    "after a value": (["a=1", "-m", "b=2"], r"Flags such as -m stand before or after all of"),
    "resolve alone": (["--resolve"], "add --cfg job"),
    "two at once": (["--cfg", "job", "--multirun"], "Only one of the flags --run, --multirun"),
    "a pickle": (["--experimental-rerun", "x.pickle"], "may run any code.*resume=FOLDER"),
    "no value": (["--cfg"], "expected one argument"),
}


@pytest.mark.parametrize("given", WRONG)
def test_flags_that_are_refused(given):
    arguments, text = WRONG[given]
    with pytest.raises(ConfigError, match=text) as error:
        check_flags(arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments", [[], ["a=1", "b=2"], ["-m", "a=1,2"], ["a=1", "-m"], ["--cfg", "job", "--resolve"]]
)
def test_flags_that_are_fine(arguments):
    check_flags(arguments)
    assert not asks_for_help(arguments)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_asked_for(flag):
    assert asks_for_help(["a=1", flag])
