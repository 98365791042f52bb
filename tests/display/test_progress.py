"""What users see of a run: on terminals of any width, in files, and when things go wrong."""

import io
import os
import pty
import re
import time
import tracemalloc
from dataclasses import replace

import pytest
import records
import rich
import rich.jupyter
from rich.console import Console
from rich.text import Text

from runner.config.settings import Settings
from runner.display import progress
from runner.display.progress import Bars, Lines
from runner.fidelity import Fidelity
from runner.goals import Goals, Objective
from runner.training.inline import Inline
from runner.training.local import Local
from runner.trial import Failure, State, Trial

GOALS = Goals((Objective("val/accuracy", "max"),))
HOSTILE = "[red]x[/red] :boom:\n\x1b[31m\x07\u202e\ud800"
SHOWN = r"[red]x[/red] :boom: \x1b[31m\x07\u202e\ud800"


def settings(**changes) -> Settings:
    usual = records.CONFIG | {
        "space": {"_target_": "spaces.resnet.ResNet"},
        "strategy": {"_target_": "a.Optuna", "sampler": {"_target_": "optuna.samplers.TPE"}},
        "evaluator": {"_target_": "a.B", "epochs": 10},
        "seed": 7, "budget": records.CONFIG["budget"] | {"trials": 4},
    }  # fmt: skip
    return Settings.model_validate(usual | changes)


def made(kind, tmp_path, width=80, **changes):
    """A progress of a kind, and the file it writes to."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, height=24, force_terminal=kind is Bars, legacy_windows=False,
        color_system="truecolor" if kind is Bars else None, _environ={"TERM": "xterm"},
    )  # fmt: skip
    return kind(console, settings(**changes), GOALS, tmp_path), file


def begun(number: int, **changes) -> Trial:
    sample = {"width": 16, "depth": number}
    return Trial(number, sample, number, started_at=time.time(), **changes)


def finished(number: int, value: float = 0.5, **changes) -> Trial:
    metrics = {"val/accuracy": value, "val/loss": 1.0}
    trial = begun(number, step=10, metrics=metrics, scores=(value,), **changes)
    return replace(trial, state=State.FINISHED, ended_at=trial.started_at + 2)


def failed(number: int, text: str = "KeyError: 'x'") -> Trial:
    trial = begun(number, state=State.FAILED, failure=Failure("error", text))
    return replace(trial, ended_at=trial.started_at + 2)


def drawn(shown: Bars) -> list[str]:
    """The lines of the frame that stands on a terminal now."""
    file = io.StringIO()
    width = shown.frame().width + progress.MARGIN
    Console(file=file, width=width, legacy_windows=False).print(shown.frame())
    return [line.rstrip() for line in file.getvalue().splitlines()]


def middle(width: int, tmp_path) -> list[str]:
    """What stands on a terminal in the middle of a run."""
    shown, _ = made(Bars, tmp_path, width)
    shown.show(finished(0, 0.91234))
    shown.show(failed(1))
    shown.show(begun(2, step=5, metrics={"val/accuracy": 0.5}))
    shown.show(Trial(3, {}, 3))
    shown.show(Trial(4, {}, 4, duplicate_of=3))
    return drawn(shown)


def test_a_wide_terminal_shows_run_trials_and_best(tmp_path):
    assert middle(80, tmp_path) == [
        "search   ━━━━━━━━━━━━━━━━━━━━━━━━━                  2/4 trials",
        "trial 2  ━━━━━━━━━━━━━━━━━━━━                      5/10 epochs  0:00   0.5000",
        "trial 3                                                               waiting",
        "1 failed",
        "best val/accuracy 0.9123, trial 0  width=16 depth=0",
    ]


def test_a_narrow_terminal_shows_the_same_in_fewer_words(tmp_path):
    assert middle(40, tmp_path) == [
        "search   ━━━━━━━━        2/4",
        "trial 2  ━━━━━━╸        5/10   0.5000",
        "trial 3                       waiting",
        "1 failed",
        "best val/accuracy 0.9123, trial 0",
    ]


def test_the_best_sample_is_begun_only_where_there_is_room_for_some_of_it(tmp_path):
    assert middle(55, tmp_path)[-1] == "best val/accuracy 0.9123, trial 0"
    assert middle(56, tmp_path)[-1].startswith("best val/accuracy 0.9123, trial 0  width=16 d")


def test_a_screen_is_named_at_the_start(tmp_path):
    screen = {"proxy": "naswot", "candidates": 8, "batch_size": 64}
    shown, file = made(Lines, tmp_path, screen=screen)
    shown.begin()
    assert "ResNet with Optuna(TPE), screened by naswot: 4 trials" in file.getvalue()


def test_lines_say_how_each_trial_ended(tmp_path):
    shown, file = made(Lines, tmp_path)
    shown.begin()
    shown.show(Trial(0, {"width": 16}, 0))
    shown.show(finished(0, 0.5))
    shown.show(finished(1, 0.25))
    shown.show(Trial(2, {}, 2, duplicate_of=0))
    shown.show(replace(finished(2), duplicate_of=0))
    shown.show(failed(3))
    shown.show(replace(finished(4, 0.75), state=State.STOPPED, step=3, scores=()))
    shown.show(replace(finished(5), metrics={"val/loss": 0.5}, scores=()))
    shown.note("The space is used up.")
    shown.end()
    shown.end()
    assert file.getvalue().splitlines() == [
        f"Searching ResNet with Optuna(TPE): 4 trials, seed 7, in {tmp_path}",
        "trial 0: val/accuracy 0.5000 in 2.0 s, the best so far",
        "trial 1: val/accuracy 0.2500 in 2.0 s, best 0.5000 (trial 0)",
        "trial 2 repeats trial 0: its result is reused",
        "trial 3 failed after 2.0 s: error: KeyError: 'x'",
        "trial 4 stopped after 3 of 10 epochs: val/accuracy 0.7500",
        "trial 5 has no val/accuracy to compare; it reported val/loss=0.5000",
        "The space is used up.",
        "5 of 4 trials done (1 failed, 1 stopped early, 1 reused); best val/accuracy 0.5000, "
        "trial 0",
    ]


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_the_first_refusals_are_shown_and_all_are_counted_beside_the_budget(kind, tmp_path):
    shown, file = made(kind, tmp_path)
    shown.begin()
    for number in range(20):
        refused = Failure("refused", "a width of 5 does not fit")
        shown.show(Trial(number, {"width": 5}, number))
        shown.show(Trial(number, {"width": 5}, number, State.FAILED, failure=refused))
    shown.show(finished(20))
    shown.end()
    text = file.getvalue()
    assert text.count("was refused: a width of 5 does not fit") == 5
    assert text.count("further ones are counted") == 1
    assert "20 refused" in text
    assert "1 of 4 trials done" in text or "1/4 trials" in text


@pytest.mark.parametrize("state", [State.FINISHED, State.FAILED])
@pytest.mark.parametrize("kind", [Lines, Bars])
def test_the_first_repeats_are_shown_as_they_are_proposed_and_all_are_counted(
    kind, state, tmp_path
):
    shown, file = made(kind, tmp_path)
    shown.begin()
    shown.show(Trial(0, {"width": 5}, 0))
    repeats = [Trial(number, {"width": 5}, number, duplicate_of=0) for number in range(1, 21)]
    for trial in repeats:
        shown.show(trial)
    text = file.getvalue()
    assert text.count("repeats trial 0: its result is reused") == 5
    assert text.count("further ones are counted") == 1
    refused = Failure("refused", "a width of 5 does not fit") if state is State.FAILED else None
    for trial in (Trial(0, {"width": 5}, 0), *repeats):
        shown.show(replace(trial, state=state, failure=refused))
    shown.end()
    assert "20 reused" in file.getvalue()
    assert file.getvalue().count("repeats trial 0") == 5


def test_a_long_run_says_now_and_then_how_far_it_is(tmp_path, monkeypatch):
    shown, file = made(Lines, tmp_path)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    shown.begin()
    monkeypatch.setattr(time, "monotonic", lambda: now + 90)
    shown.show(begun(0, step=5))
    shown.show(begun(0, step=6))
    assert file.getvalue().splitlines()[1:] == [
        "0/4 trials, 20/h, 10:30 left; trial 0 at epoch 5/10"
    ]


def test_time_left_respects_the_limit_in_minutes(tmp_path, monkeypatch):
    shown, file = made(
        Lines, tmp_path, budget=records.CONFIG["budget"] | {"trials": 100, "minutes": 2.0}
    )
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    shown.begin()
    monkeypatch.setattr(time, "monotonic", lambda: now + 90)
    shown.show(finished(0))
    assert file.getvalue().splitlines()[-1] == "1/100 trials, 40/h, 0:30 left"


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_what_is_replayed_is_only_counted(kind, tmp_path):
    shown, file = made(kind, tmp_path)
    for number in range(3):
        shown.show(Trial(number, {}, 0))
    shown.show(failed(0))
    shown.show(finished(1))
    assert not file.getvalue()
    shown.begin()
    shown.end()
    assert "Resumed with 3 trials, 1 to be repeated." in file.getvalue()
    assert "KeyError" not in file.getvalue()


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_a_long_record_is_replayed_quickly_and_not_kept(kind, tmp_path):
    shown, _ = made(kind, tmp_path)
    shown.show(finished(0, 1.0))
    trials = [finished(number) for number in range(10_000)]
    tracemalloc.start()
    start = time.process_time()
    for trial in trials:
        shown.show(replace(trial, state=State.RUNNING))
        shown.show(trial)
    passed = time.process_time() - start
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert passed < 2  # measuring memory makes it ten times slower
    assert grown < 10_000


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_hostile_strings_are_shown_as_data(kind, tmp_path):
    shown, file = made(kind, tmp_path, 400, space={"_target_": f"a.{HOSTILE}"})
    shown.begin()
    shown.show(failed(0, HOSTILE))
    shown.show(replace(finished(1), sample={HOSTILE: HOSTILE}))
    shown.note(HOSTILE)
    shown.end()
    assert file.getvalue().count(SHOWN) >= 2
    assert "\u202e" not in file.getvalue() and "\ud800" not in file.getvalue()
    assert "\x07" not in file.getvalue() and "\x1b[31m\\x07" not in file.getvalue()


def test_lines_hold_no_control_codes(tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=file, width=40))
    shown = progress.for_terminal(settings(), GOALS, tmp_path, plain=False)
    shown.begin()
    shown.show(failed(0))
    shown.show(finished(1))
    shown.end()
    assert isinstance(shown, Lines)
    assert re.search(r"[\x00-\x09\x0b-\x1f]", file.getvalue()) is None


def test_a_file_in_another_encoding_gets_escapes(tmp_path, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(rich, "_console", Console(file=io.TextIOWrapper(raw, encoding="ascii")))
    progress.note("größer")
    assert raw.getvalue() == b"gr\\xf6\\xdfer\n"


def test_bars_restore_the_cursor_however_often_they_end(tmp_path):
    shown, file = made(Bars, tmp_path)
    shown.end()
    shown.begin()
    shown.end()
    shown.end()
    assert file.getvalue().count("\x1b[?25l") == 1
    assert file.getvalue().rstrip().endswith("\x1b[?25h")


def test_bars_restore_the_cursor_when_their_end_is_interrupted(tmp_path, monkeypatch):
    shown, file = made(Bars, tmp_path)
    shown.begin()

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(Console, "clear_live", lambda self: interrupted())
    with pytest.raises(KeyboardInterrupt):
        shown.end()
    monkeypatch.undo()
    shown.end()
    assert file.getvalue().endswith("\x1b[?25h")


def test_a_failure_names_the_file_to_read(tmp_path):
    shown, file = made(Lines, tmp_path)
    shown.begin()
    place = tmp_path / "trials" / "0007" / "error.txt"
    place.parent.mkdir(parents=True)
    place.touch()
    shown.show(failed(7))
    assert file.getvalue().endswith("KeyError: 'x'\n")  # an empty file says nothing
    place.write_text("Traceback")
    shown.show(failed(7))
    assert file.getvalue().endswith(f"see {place.relative_to(tmp_path)}\n")


def test_more_trials_than_lines_are_counted(tmp_path):
    shown, _ = made(Bars, tmp_path)
    for number in range(100):
        shown.show(begun(number))
    lines = drawn(shown)
    assert "and 81 more running" in lines
    assert len(lines) <= 24


def test_epochs_that_are_searched_are_those_of_the_trial(tmp_path):
    shown, _ = made(Bars, tmp_path)
    shown.show(replace(begun(0, step=2), sample={"evaluator.epochs": 3}))
    assert "2/3 epochs" in drawn(shown)[1]


def under_fidelity(shown):
    shown._tally.goals = Goals(fidelity=Fidelity("evaluator.epochs", 1, 9, 3))
    return shown


def test_a_promoted_trial_has_the_epochs_that_are_left(tmp_path):
    shown = under_fidelity(made(Bars, tmp_path)[0])
    trial = replace(begun(1, step=2), sample={"evaluator.epochs": 9}, parent=0)
    shown.show(trial)
    assert "2/6 epochs" in drawn(shown)[1]
    shown.show(replace(trial, step=7))  # without a checkpoint it is trained through
    assert "7/9 epochs" in drawn(shown)[1]


def test_results_of_lower_rungs_are_told_with_their_rung(tmp_path):
    shown, file = made(Lines, tmp_path)
    under_fidelity(shown).begin()
    lower = replace(finished(0, 0.9), sample={"evaluator.epochs": 3}, partial=True)
    shown.show(lower)
    shown.show(replace(finished(1, 0.5), sample={"evaluator.epochs": 9}))
    assert file.getvalue().splitlines()[1:] == [
        "trial 0 at evaluator.epochs=3: val/accuracy 0.9000 in 2.0 s",
        "trial 1: val/accuracy 0.5000 in 2.0 s, the best so far",
    ]


def test_an_evaluator_without_epochs_gets_a_bar_without_a_count(tmp_path):
    shown, _ = made(Bars, tmp_path, evaluator={"_target_": "a.B"})
    shown.show(begun(0, step=2))
    assert re.fullmatch("trial 0  ━+ +0:00", drawn(shown)[1])


def test_a_path_in_a_note_stays_whole(tmp_path):
    shown, file = made(Bars, tmp_path, 40)
    command = "resume=/a/path/that/is/longer/than/the/terminal/is/wide"
    shown.note(f"Go on with {command}")
    assert command in file.getvalue()


@pytest.mark.parametrize("service", [Local, Inline])
def test_a_terminal_gets_bars_unless_a_debugger_may_need_it(service, tmp_path, monkeypatch):
    primary, secondary = pty.openpty()
    with os.fdopen(secondary, "w") as terminal:
        console = Console(file=terminal, _environ={"TERM": "xterm"})
        monkeypatch.setattr(rich, "_console", console)
        plain = service.owns_terminal
        shown = progress.for_terminal(settings(), GOALS, tmp_path, plain=plain)
    os.close(primary)
    assert isinstance(shown, Bars if service is Local else Lines)


def test_an_error_is_one_line(capsys):
    progress.fail(f"first\nsecond {HOSTILE}")
    assert capsys.readouterr().err == f"error: first second {SHOWN}\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_sequence_is_tracked_on_terminals_only(terminal, monkeypatch):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, _environ={"TERM": "xterm"})
    monkeypatch.setattr(rich, "_console", console)
    assert [*progress.track(range(3), "drawing")] == [0, 1, 2]
    assert ("drawing" in file.getvalue()) is terminal
    if not terminal:
        assert file.getvalue() == ""


class Marked:
    """A renderable as wide as it may be, with room on the right."""

    def __rich_console__(self, console, options):
        yield Text(f"{'word ' * 60}end".ljust(400))


@pytest.mark.parametrize("columns", ["20", "40", "80"])
def test_what_is_shown_through_a_pipe_is_neither_cut_nor_wrapped(columns, monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=file, _environ={"COLUMNS": columns}))
    progress.show(Marked(), Text("second"))
    assert file.getvalue().splitlines() == ["word " * 60 + "end", "second"]


def test_a_failure_is_told_whole_through_a_pipe_and_cut_on_a_terminal(tmp_path):
    for kind in (Lines, Bars):
        shown, file = made(kind, tmp_path)
        shown.begin()
        shown.show(failed(0, "ValueError: " + "why " * 200 + "so"))
        shown.end()
        assert ("why so" in file.getvalue()) is (kind is Lines)
        assert ("…" in file.getvalue()) is (kind is Bars)


def test_repeats_are_told_with_what_they_repeat_and_the_best_is_a_mean(tmp_path):
    shown, file = made(Lines, tmp_path, repeat=2, confirm={"top": 2, "seeds": 1})
    shown.begin()
    trials = [finished(0, 0.5), finished(1, 0.7, repeat_of=0), finished(2, 0.9),
              finished(3, 0.2, repeat_of=2)]  # fmt: skip
    trials += [finished(4, 0.4, repeat_of=0, stage="confirm"),
               finished(5, 0.8, repeat_of=2, stage="confirm")]  # fmt: skip
    trials.insert(4, finished(6, 0.1, stage="baseline", random=True))
    for trial in trials:
        shown.show(replace(trial, state=State.RUNNING, metrics={}, scores=(), step=0))
        shown.show(trial)
    shown.end()
    mean = "0.6000 ±0.1414"
    assert file.getvalue().splitlines()[1:] == [
        "trial 0: val/accuracy 0.5000 in 2.0 s",
        f"trial 1 (repeats trial 0): val/accuracy 0.7000 in 2.0 s, best {mean} (trial 0)",
        f"trial 2: val/accuracy 0.9000 in 2.0 s, best {mean} (trial 0)",
        f"trial 3 (repeats trial 2): val/accuracy 0.2000 in 2.0 s, best {mean} (trial 0)",
        f"trial 6: val/accuracy 0.1000 in 2.0 s, best {mean} (trial 0)",
        "trial 4 (confirms trial 0): val/accuracy 0.4000 in 2.0 s",
        "trial 5 (confirms trial 2): val/accuracy 0.8000 in 2.0 s",
        "4 of 8 trials done (1 to compare, 2 to confirm); best val/accuracy 0.8000, trial 2",
    ]


def waited(console, monkeypatch, moment=0.0):
    """A console on which a wait has been shown, as far as it can be."""
    monkeypatch.setattr(progress, "_console", lambda: console)
    monkeypatch.setattr(progress, "MOMENT", moment)
    monkeypatch.setattr(progress, "LONG_MOMENT", moment)
    with progress.waiting("reading [red]things[/red]") as end:
        limit = time.monotonic() + 20
        while not moment and not console.file.getvalue() and time.monotonic() < limit:
            time.sleep(0.01)
        end()
        end()
        said = console.file.getvalue()
    assert console.file.getvalue() == said or console.is_terminal  # nothing follows
    return console.file.getvalue()


def terminal(width=80, **more):
    return Console(file=io.StringIO(), width=width, force_terminal=True, legacy_windows=False,
                   **{"_environ": {"TERM": "xterm"}, **more})  # fmt: skip


def test_a_wait_is_told_in_lines_where_nothing_can_be_drawn_over(monkeypatch):
    dumb = terminal(_environ={"TERM": "dumb"}, color_system=None)
    for console in (Console(file=io.StringIO()), dumb):
        lines = waited(console, monkeypatch).splitlines()
        assert {*lines} == {"Reading [red]things[/red] ..."}


def test_a_notebook_is_told_in_its_own_output_and_nothing_is_drawn(tmp_path, monkeypatch, capsys):
    cell: list[str] = []
    monkeypatch.setattr(rich.jupyter, "display", lambda segments, text: cell.append(text))
    monkeypatch.setattr(progress, "LONG_MOMENT", 0.0)
    monkeypatch.setattr(rich, "_console", Console(force_jupyter=True, color_system=None))
    with progress.waiting("loading"):
        while not cell:
            time.sleep(0.01)
    assert {line.strip() for line in cell} == {"Loading ..."}
    assert [*progress.track(range(2), "counting")] == [0, 1]
    path = f"/{'long/' * 60}run.db"
    progress.show(Text(path, no_wrap=True))
    assert cell[-1].strip() == path
    shown = progress.for_terminal(settings(), GOALS, tmp_path, plain=False)
    assert isinstance(shown, Lines)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("width", [20, 40, 80, 160])
def test_a_narrow_terminal_cuts_the_words_of_a_wait_but_not_its_motion(width, monkeypatch):
    what = "drawing, converting and generating models of a space"
    monkeypatch.setattr(progress, "MOMENT", 0.0)
    console = terminal(width)
    monkeypatch.setattr(progress, "_console", lambda: console)
    with progress.waiting(what):
        while "0:00" not in console.file.getvalue():
            time.sleep(0.01)
    assert [*progress.track(range(2), what)] == [0, 1]
    said = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue())
    lines = [line.rstrip() for line in re.split(r"[\r\n]", said) if line.strip()]
    assert all(len(line) <= width for line in lines)
    assert any(re.fullmatch(r". drawing.* 0:00:0\d", line) for line in lines)
    assert any(re.fullmatch(r"drawing.* .{4,} +100%", line) for line in lines)
    assert all(("…" in line) is (width < 60) for line in lines)


def test_a_line_with_a_path_is_never_broken(monkeypatch):
    path = f"/a/path/{'with spaces and 漢字 ' * 8}/weights.safetensors"
    for console in (terminal(40), Console(file=io.StringIO(), width=40)):
        monkeypatch.setattr(progress, "_console", lambda console=console: console)
        progress.show(Text(path, no_wrap=True), Text("next"))
        assert console.file.getvalue().splitlines() == [path, "next"]


def test_who_stops_the_program_is_told_so_apart_from_results(capsys):
    progress.stopped()
    assert capsys.readouterr() == ("", "Stopped.\n")


def test_a_wait_leaves_nothing_on_a_terminal(monkeypatch):
    said = waited(terminal(), monkeypatch)
    assert "reading [red]things[/red]" in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", said)
    assert said.endswith("\x1b[?25h\r\x1b[1A\x1b[2K") or said.endswith("\x1b[2K")


def test_a_short_wait_shows_nothing(monkeypatch):
    for console in (Console(file=io.StringIO()), terminal()):
        assert waited(console, monkeypatch, moment=1000.0) == ""


def test_lines_about_a_wait_leave_standard_output_to_results(monkeypatch, capsys):
    monkeypatch.setattr(rich, "_console", Console())
    monkeypatch.setattr(progress, "LONG_MOMENT", 0.0)
    said = ""
    with progress.waiting("loading", lambda: "1/2"):
        while not said:
            time.sleep(0.01)
            said = capsys.readouterr().err
        progress.show_lines("the result")
    assert said.startswith("Loading ... (1/2)\n")
    assert capsys.readouterr().out == "the result\n"


def test_a_long_wait_says_how_long_it_takes(monkeypatch):
    console = Console(file=io.StringIO())
    monkeypatch.setattr(progress, "_console", lambda: console)
    monkeypatch.setattr(progress, "LONG_MOMENT", 0.0)
    monkeypatch.setattr(progress, "LATER", 0.0)
    with progress.waiting("loading"):
        while not console.file.getvalue():
            time.sleep(0.01)
    assert re.match(r"Loading \.\.\. \d+ s\n", console.file.getvalue())


@pytest.mark.parametrize("beats", [True, False])
def test_a_search_in_lines_fills_silences_but_not_for_a_debugger(beats, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LONG_MOMENT", 0.0)
    file = io.StringIO()
    dumb = Console(file=file, force_terminal=True, width=200, _environ={"TERM": "dumb"},
                   color_system=None)  # fmt: skip
    monkeypatch.setattr(rich, "_console", dumb)
    shown = progress.for_terminal(settings(), GOALS, tmp_path, plain=not beats)
    shown.begin()
    shown.show(begun(0, step=3))
    limit = time.monotonic() + (30 if beats else 0.1)
    while "Searching ..." not in file.getvalue() and time.monotonic() < limit:
        time.sleep(0.01)
    shown.end()
    assert ("Searching ... (0/4 trials" in file.getvalue()) is beats
    said = file.getvalue()
    time.sleep(0.05)
    assert file.getvalue() == said


def test_what_is_tracked_is_the_sequence_and_lines_where_it_takes_long(monkeypatch):
    console = Console(file=io.StringIO())
    monkeypatch.setattr(progress, "_console", lambda: console)
    monkeypatch.setattr(progress, "LONG_MOMENT", 0.0)
    seen = []
    for number in progress.track(range(3), "counting"):
        seen.append(number)
        while f"({number}/3)" not in console.file.getvalue():
            time.sleep(0.01)
    assert seen == [0, 1, 2]
    assert {*console.file.getvalue().splitlines()} >= {f"Counting ... ({n}/3)" for n in seen}


def test_wrapped_text_keeps_its_words_whole_and_the_rest_as_it_is(monkeypatch):
    text = "strategy: random, evolution, tpe, bananas, local_search\n"
    text += "  key: 1 # of which one is used\n\nx"
    for console, lines in (
        (terminal(24, color_system=None), [
            "strategy: random,", "    evolution, tpe,", "    bananas,", "    local_search",
            "  key: 1 # of which one", "      is used", "", "x"]),
        (Console(file=io.StringIO(), width=24), text.splitlines()),
    ):  # fmt: skip
        monkeypatch.setattr(progress, "_console", lambda console=console: console)
        progress.show_wrapped(text)
        assert console.file.getvalue().splitlines() == lines
