"""The command line of a sweep: a new one, or one that `sweep.resume=FOLDER` goes on with."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser

from runner.config.hidden_secrets import shown_override
from runner.config.secrets import give_again, has_lost, is_secret_key, key_of
from runner.errors import ConfigError, as_yaml, few
from runner.masking import MASK
from runner.resume import folder_of, folder_override
from runner.run_folder import check_links
from runner.sweeps.sweep_folder import SweepFolder, SweepRequest

KEY = "sweep.resume"
DIR = "hydra.sweep.dir"
TRIALS = "hydra.sweeper.n_trials"
FLAGS = ("-m", "--multirun")
# How members are run, and nothing else of them, may change when a sweep goes on.
FREE = ("training", "hydra/launcher", "hydra.launcher", "hydra.sweeper.n_jobs")
MAY_CHANGE = "Only training, the launcher, and a growing hydra.sweeper.n_trials may change."
SHOWN = 8  # overrides that a message lists


@final
@dataclass(frozen=True)
class AskedSweep:
    """What the command line asks for, should it ask for a sweep."""

    arguments: Sequence[str]  # for Hydra
    request: SweepRequest  # that of the sweep to go on with, or a new one
    resumes: bool


def asked(arguments: Sequence[str]) -> AskedSweep:
    """Returns what the command line asks for; of a sweep to go on with, what its folder says.
    Raises RunnerError if that cannot be used, or contradicts."""
    given = [one for one in arguments if key_of(one) == KEY]
    values = [_folder_named(one) for one in given]
    rest = [one for one in arguments if one not in given]
    if not given or values == [None]:
        request = SweepRequest(
            name=secrets.token_hex(8),
            arguments=[*map(shown_override, rest)],
            shuffle=secrets.randbelow(2**31),
        )
        return AskedSweep(rest, request.signed(), resumes=False)
    if len(given) > 1:
        raise ConfigError(f"{KEY} is given {len(given)} times; a command goes on with one sweep.")
    if not {*FLAGS} & {*rest}:
        raise ConfigError(
            f"{KEY} goes on with a sweep; add -m. To go on with a run: resume=FOLDER."
        )
    folder = folder_of(KEY, values[0]).resolve()
    if not str(folder).isprintable():
        raise ConfigError(f"{KEY} is {str(folder)!r}; the name of a sweep's folder is plain text.")
    request = SweepFolder(folder).request()
    check_links(folder)
    more = [one for one in rest if one not in FLAGS]
    merged = [*_merged(folder, request, more), folder_override(folder, DIR)]
    return AskedSweep(merged, request, resumes=True)


def _folder_named(override: str) -> str | None:
    """Returns the folder that `sweep.resume=FOLDER` names. Raises ConfigError for other values."""
    [parsed] = OverridesParser.create().parse_overrides([override])
    value = parsed.value()
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(
            f"{override!r} names no folder; it must be that of one sweep, as in "
            f"{KEY}=multirun/DATE/TIME. A name that is no plain text is written in quotes, as in "
            f"\"{KEY}='5'\"."
        )
    return value


def fixed(overrides: Sequence[str]) -> Sequence[str]:
    """Returns those overrides that may not change when a sweep goes on, in a form to compare."""
    return sorted(_without_secret(one) for one in overrides if not _is_free(key_of(one)))


def _without_secret(one: str) -> str:
    key = key_of(one)
    return f"{key}={MASK}" if is_secret_key(key) else shown_override(one).lstrip("+")


def _merged(folder: Path, request: SweepRequest, more: Sequence[str]) -> Sequence[str]:
    """Returns the arguments of a recorded sweep with what may change. Raises ConfigError."""
    pairs = [(one, _given_again(one, more)) for one in request.arguments if key_of(one) != DIR]
    words = [word for _, word in pairs]
    given = {word for one, word in pairs if word != one}
    known = {*{key_of(one): one.lstrip("+") for one in words}.values()}  # the last one counts
    if why := request.doubt:
        missing = known - {one.lstrip("+") for one in more} - {*FLAGS}
        if missing:
            told = few([repr(one)[:100] for one in sorted(missing)], SHOWN)
            raise ConfigError(
                f"The sweep in {folder} was not made by this user ({why}); if you trust what it "
                f"would run, give that beside {KEY}: {told}."
            )
    overrides = {*get_args_parser().parse_args(words).overrides}
    for one in more:
        if one.lstrip("+") not in known:
            _check_change(folder, one, words)
            words = [word for word in words if word not in overrides or not _replaces(one, word)]
            words.append(one)
    lost = [
        key_of(one) for one in words if one not in given and has_lost(one, anywhere=one not in more)
    ]
    if lost:
        raise ConfigError(f"The sweep in {folder} needs {few(lost, SHOWN)}, {give_again(lost)}")
    return words


def _given_again(word: str, more: Sequence[str]) -> str:
    """Returns an override of a sweep with its secret, which is not saved, if it is given again."""
    if not has_lost(word, anywhere=True):
        return word
    for one in more:
        new = shown_override(one)
        is_same = new.lstrip("+") == word.lstrip("+") or new == one
        if key_of(one) == key_of(word) and is_same:
            return word[: len(word) - len(word.lstrip("+"))] + one.lstrip("+")
    return word


def _replaces(new: str, old: str) -> bool:
    """Returns whether an override sets the key of another one, or chooses its option anew."""
    key, before = key_of(new), key_of(old)
    is_below = before.startswith(f"{key.replace('/', '.')}.") and "." not in key
    return key == before or is_below


def _check_change(folder: Path, one: str, words: Sequence[str]) -> None:
    """Raises ConfigError for an argument beside `sweep.resume` that the sweep does not have."""
    key = key_of(one)
    before = [word for word in words if key_of(word) == key]
    if _is_free(key) or (key == TRIALS and _grows(one, before)):
        return
    has = f"it has {few([repr(word) for word in before], SHOWN)}" if before else "it has none"
    raise ConfigError(f"{as_yaml(one)} contradicts the sweep in {folder}: {has}. {MAY_CHANGE}")


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _grows(one: str, before: Sequence[str]) -> bool:
    """Returns whether a number of trials is larger than before."""
    new, old = one.partition("=")[2], before[-1].partition("=")[2] if before else "0"
    return new.isdecimal() and old.isdecimal() and int(new) >= int(old)
