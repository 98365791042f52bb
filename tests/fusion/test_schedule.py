"""Each step runs once, behind what it needs; equal steps of several programs run together."""

from hypothesis import given
from hypothesis import strategies as st

from runner.fusion.program.program import Program, Step, Var
from runner.fusion.schedule import ScheduledStep, schedule


def program(*steps):
    """A program of steps (name, numbers of the steps that it needs; 0 is the input)."""
    made = [
        Step("function", name, tuple(map(Var, needs)), {}, Var(at + 1))
        for at, (name, *needs) in enumerate(steps)
    ]
    return Program(tuple(made), {}, Var(len(steps)))


def names(programs, *, drawing=()):
    """The launches, as texts: the name, and the programs."""
    launches = scheduled(programs, drawing)
    return [
        f"{programs[members[0].model].steps[members[0].step].target} "
        + "".join(str(member.model) for member in members)
        for members in launches
    ]


def scheduled(programs, drawing=()):
    def label(i, at):
        return programs[i].steps[at].target

    def ordered(i, at):
        return "draws" if label(i, at) in drawing else None

    return schedule(programs, label, ordered)


def test_equal_programs_run_step_by_step():
    chain = program(("a", 0), ("b", 1), ("c", 2))
    assert names([chain] * 3) == ["a 012", "b 012", "c 012"]


def test_a_longer_program_meets_a_shorter_one_at_the_end():
    short = program(("a", 0), ("c", 1))
    long = program(("a", 0), ("b", 1), ("b", 2), ("c", 3))
    assert names([short, long]) == ["a 01", "b 1", "b 1", "c 01"]


def test_what_differs_runs_by_itself():
    assert names([program(("a", 0)), program(("b", 0))]) == ["a 0", "b 1"]


def test_a_program_may_be_empty():
    empty = Program((), {}, Var(0))
    assert names([empty, program(("a", 0))]) == ["a 1"]
    assert names([empty]) == []


def test_branches_are_found_in_any_order():
    one = program(("a", 0), ("b", 0), ("+", 1, 2))
    other = program(("b", 0), ("a", 0), ("+", 1, 2))
    assert sorted(names([one, other])) == ["+ 01", "a 01", "b 01"]


def test_equal_steps_of_one_program_are_several_launches():
    twice = program(("a", 0), ("a", 0), ("+", 1, 2))
    assert names([twice, twice]) == ["a 01", "a 01", "+ 01"]


def test_steps_that_draw_stay_in_their_order():
    one = program(("draw", 0), ("x", 1), ("throw", 0), ("y", 3), ("z", 4), ("+", 2, 5))
    assert names([one]).index("throw 0") < names([one]).index("draw 0")
    found = names([one], drawing=("draw", "throw"))
    assert found.index("draw 0") < found.index("throw 0")


@st.composite
def programs(draw):
    size = draw(st.integers(0, 8))
    steps = []
    for at in range(size):
        needs = draw(st.lists(st.integers(0, at), max_size=3, unique=True))
        steps.append((draw(st.sampled_from("abcd")), *needs))
    return program(*steps)


@given(st.lists(programs(), min_size=1, max_size=4), st.sets(st.sampled_from("abcd")))
def test_each_step_runs_once_and_behind_what_it_needs(found, drawing):
    launches = scheduled(found, drawing)
    order = [member for launch in launches for member in launch]
    steps = [ScheduledStep(i, at) for i, one in enumerate(found) for at in range(len(one.steps))]
    assert sorted(order, key=lambda m: (m.model, m.step)) == steps
    when = {member: at for at, launch in enumerate(launches) for member in launch}
    for launch in launches:
        models = [member.model for member in launch]
        assert models == sorted(set(models))
        assert len({found[m.model].steps[m.step].target for m in launch}) == 1
    for i, one in enumerate(found):
        for at, step in enumerate(one.steps):
            for var in step.inputs:
                assert (
                    not var.number
                    or when[ScheduledStep(i, var.number - 1)] < when[ScheduledStep(i, at)]
                )
        times = [when[ScheduledStep(i, a)] for a, s in enumerate(one.steps) if s.target in drawing]
        assert times == sorted(times)
