"""Standard error, for what is no result."""

import os
from typing import final

from rich.console import Console


@final
class StandardError(Console):
    """A console whose reader may have ended: then nobody misses a line, and the program goes on."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        """Writes nowhere from now on. Rich would close the other stream, that of the results."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
