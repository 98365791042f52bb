"""The table of a sweep: a row for each member, also of those that failed or did not begin."""

import io

from rich.console import Console

from runner.sweeps.sweep_folder import MemberRecord
from runner.sweeps.sweep_table import best_member, sweep_table


def member(number, **more):
    return MemberRecord(number=number, overrides=[], label=f"seed={number}", **more)


MEMBERS = [
    member(0, state="ended", value=0.25, scores=[-0.25]), member(1, state="running", folder="1"),
    member(2, state="failed", why="no \x1b[31mdisk"), member(3),
    member(4, state="ended", value=0.5, scores=[-0.5]), member(5, state="ended"),
]  # fmt: skip


def shown(members):
    out = io.StringIO()
    Console(file=out, width=100).print(sweep_table(members))
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]


def test_each_member_has_a_row():
    assert shown(MEMBERS) == [
        "member overrides best state", "0 seed=0 0.2500 ended", "1 seed=1 cut",
        r"2 seed=2 failed: no \x1b[31mdisk", "3 seed=3 not begun", "4 seed=4 0.5000 ended",
        "5 seed=5 ended",
    ]  # fmt: skip


def test_the_best_member_is_that_with_the_highest_score():
    assert best_member(MEMBERS) == "The best is member 0 (seed=0): 0.2500."
    assert best_member(MEMBERS[1:4]) == ""
