"""The table of a sweep: each member, how it ended, and why it failed; and the best of them."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from runner.display import format as text
from runner.display.tables import plain_table
from runner.sweeps.sweep_folder import MemberRecord

WORDS = {"waiting": "not begun", "running": "cut", "ended": "ended"}


def sweep_table(members: Sequence[MemberRecord]) -> RenderableType:
    """Returns a table with a row for each member, by number."""
    table = plain_table()
    table.add_column("member", justify="right")
    table.add_column("overrides", overflow="fold")
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for member in members:
        best = "" if member.value is None else text.number(member.value)
        label = text.clean(member.label)
        table.add_row(str(member.number), Text(label), best, Text(_state(member)))
    return Group(Text(), table)


def best_member(members: Sequence[MemberRecord]) -> str:
    """Says which member has the best result of the first objective; empty if none has one."""
    scored = [member for member in members if member.scores and member.value is not None]
    if not scored:
        return ""
    best = max(scored, key=lambda member: member.scores[0])
    assert best.value is not None
    return f"The best is {best.title[0].lower()}{best.title[1:]}: {text.number(best.value)}."


def _state(member: MemberRecord) -> str:
    if member.state == "failed":
        return f"failed: {text.clean(member.why)}"
    return WORDS[member.state]
