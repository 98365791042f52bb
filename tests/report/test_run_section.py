"""The commands of a report work as they are printed, whatever the folder is called."""

import shlex

import pytest
from records import BEGUN
from reported import searched

from runner.config.compose import compose_config, freed
from runner.learning_curves import learning_curves
from runner.report.facts import RunFacts
from runner.report.run_section import commands, place_line, run_section
from runner.report.sections import sections
from runner.resume import folder_of
from runner.store import read


def facts_of(folder):
    return RunFacts(folder, read(folder), learning_curves(folder))


@pytest.mark.parametrize("name", ["run", "a b", "<b>&\"'\u202e", "${x}", "'; ls", "a=b,c", "5"])
def test_the_commands_for_a_trial_are_read_as_they_were_meant(name, make):
    folder = make(*searched(3), name=name)
    tasks = []
    for what, before, after in commands(facts_of(folder)):
        line = f"{before}2{after}"
        assert line.isprintable()
        python, flag, module, *overrides = shlex.split(line)
        assert (python, flag, module) == ("python", "-m", "runner")
        config = compose_config(freed(overrides))
        assert folder_of("run", config.task.run) == folder
        assert config.task.trial == 2
        assert config.task._target_.rpartition(".")[2].lower() == what
        tasks.append(what)
    assert tasks == ["show", "replay", "retrain", "export"]


def test_a_run_without_a_result_has_nothing_to_retrain_or_export(make):
    assert "task=retrain" in run_section(facts_of(make(*searched(3))))
    text = run_section(facts_of(make(BEGUN, name="begun")))
    assert "task=retrain" not in text and "task=export" not in text
    assert "budget.trials=22" in text, "2 so far"


def test_relative_commands_say_where_they_are_to_be_run(make, tmp_path, monkeypatch):
    facts = facts_of(make(*searched(3)))
    assert "To be run in" not in run_section(facts)
    monkeypatch.chdir(tmp_path)
    assert "run=outputs/run" in run_section(facts)
    assert f"To be run in <code>{tmp_path}</code>." in run_section(facts)
    assert place_line(facts) in "".join(html for _, _, html in sections(facts))
