"""The flags of the command line, which are Hydra's; see `python -m runner --hydra-help`."""

import contextlib
import io
import re
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser

from runner.errors import ConfigError

ALTERNATIVES = ("run", "multirun", "cfg", "info", "shell_completion")


def check_flags(arguments: Sequence[str]) -> None:
    """Raises ConfigError for unknown flags, and for that of Hydra which runs a pickled config."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            flags = get_args_parser().parse_args([*arguments])
    except SystemExit:
        text = said.getvalue().rpartition("error: ")[2].strip()
        if re.match(r"unrecognized arguments: [^-]", text):
            text = f"{text}. Flags such as -m stand before or after all of KEY=VALUE, not between"
        raise ConfigError(f"{text[:1].upper()}{text[1:]}; --hydra-help lists the flags.") from None
    if flags.resolve and not (flags.cfg or flags.help):
        raise ConfigError(
            "--resolve is given without --cfg, whose output it resolves; add --cfg job."
        )
    if sum(map(bool, (getattr(flags, name) for name in ALTERNATIVES))) > 1:
        raise ConfigError(f"Only one of the flags --{', --'.join(ALTERNATIVES)} may be given.")
    if flags.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun reads a pickle, which may run any code; continue a run with "
            "resume=FOLDER."
        )


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Returns whether the config is to be explained, rather than run."""
    return not {"--help", "-h"}.isdisjoint(arguments)
