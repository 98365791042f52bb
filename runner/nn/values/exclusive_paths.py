"""Exclusive paths through a symbolic build: which choices can occur in the same sample."""

from collections.abc import Mapping
from typing import final

from runner.errors import SpaceError
from runner.space.choice import Choice, JsonValue, key

PathAnswers = Mapping[str, JsonValue]  # label -> answer, for the choices along a path


@final
class DeclaredChoices:
    """The choices declared so far, with the paths on which they were declared."""

    def __init__(self) -> None:
        self._known: dict[str, list[tuple[Choice, frozenset[tuple[str, str]]]]] = {}

    def declare(self, choice: Choice, way: PathAnswers) -> None:
        """Records a choice. Raises SpaceError if another choice has the same label on a path that
        does not exclude this one."""
        place = frozenset((label, key(value)) for label, value in way.items())
        known = self._known.setdefault(choice.label, [])
        if (choice, place) in known:
            return
        for other, elsewhere in known:
            if other != choice and not _exclude(place, elsewhere):
                raise SpaceError(
                    f"Label '{choice.label}' is used by two choices: {other}; and {choice}. "
                    "Give one of them another label."
                )
        known.append((choice, place))


def _exclude(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> bool:
    """Returns whether two paths have different answers to the same choice."""
    answers = dict(one)
    return any(answers.get(label, value) != value for label, value in other)
