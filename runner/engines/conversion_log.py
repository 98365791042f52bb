"""What a run says of its graphs: what they are made of, and what could not be read of them."""

import logging
from collections import defaultdict
from typing import final

from runner.graph.ir.graph import Graph, Note

log = logging.getLogger(__name__)

MOST = 5  # so many notes of one graph are shown


@final
class ConversionLog:
    """Logs what a graph is made of once, and each note once; notes of one class are one line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: set[tuple[str, str]] = set()
        self._counted = False

    def tell(self, graph: Graph) -> None:
        """Log what was not said of an earlier graph."""
        if not self._counted:
            grades = graph.grades()
            counts = ", ".join(f"{grades[grade]} {grade}" for grade in ("graph", "shell", "basic"))
            log.info("%s as a graph: %s.", self._name, counts)
            self._counted = True
        new: dict[tuple[str, str], list[Note]] = defaultdict(list)
        for note in graph.notes:
            if (note.cls, note.text) not in self._said:
                new[note.cls, note.text].append(note)
        self._said |= new.keys()
        for place, (first, *others) in enumerate(new.values()):
            if place == MOST:
                log.warning("%d more notes; task=describe shows all.", len(new) - MOST)
                return
            log.warning("%s%s", first, f" (and at {len(others)} more places)" if others else "")
