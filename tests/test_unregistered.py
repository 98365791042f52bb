"""No class of ours enters a registry of the user's."""

import pytest
import registering
import torch
from registering import Guarded, Op, Plain

import runner
from runner.graph.codegen.load import load_source
from runner.unregistered import unregistered

SEARCH = ["space._target_=registering.Registry", "~space.depths", "~space.widths",
          "~space.activations", "~space.norms", "~space.dropouts", "trust=[registering]",
          "strategy=grid", "evaluator.epochs=1", "budget.trials=2", "export.top=2",
          "training=inline", "training.device=cpu"]  # fmt: skip


def registries():
    return [list(each.items()) if isinstance(each, dict) else [*each]
            for each in registering.STATE]  # fmt: skip


@pytest.mark.parametrize("engine", ["py", "base", "cgo"])
def test_a_search_with_export_leaves_the_registries_of_the_user_as_they_were(engine, tmp_path):
    before = registries()
    run = runner.run(["space=mlp", *SEARCH, f"engine={engine}"], folder=tmp_path / "run")
    assert len(run.top(9)) == 2 and (run.folder / "top" / "2").is_dir()
    assert registries() == before
    for trial in run.top(2):
        model = run.model(trial)
        assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    run.source(run.best, standalone=True)
    assert registries() == before


def test_a_subclass_of_ours_has_what_it_is_made_of_and_the_hooks_are_as_before():
    hooks = [vars(Op)["__init_subclass__"], vars(registering.Registering)["__init__"]]
    before = registries()
    made = unregistered(type, "Plain", (Plain,), {"answer": 42})
    assert issubclass(made, Plain) and made.answer == 42 and type(made) is registering.Registering
    assert registries() == before
    assert hooks == [vars(Op)["__init_subclass__"], vars(registering.Registering)["__init__"]]


GENERATED = """
import registering
from registering import Guarded as Guarded_, Op as Op_

SEEN = []


class Mixin:
    def __init_subclass__(cls, **given):
        super().__init_subclass__(**given)
        SEEN.append(cls)


class Own(type):
    def __new__(kind, name, bases, body):
        return super().__new__(kind, name, bases, {**body, "mark": name})


class Guarded(Mixin, Guarded_):
    pass


class Twice(Guarded):
    pass


class Given(Op_, key="given"):
    pass


class Marked(metaclass=Own):
    pass
"""


def test_hooks_of_generated_source_run_and_those_of_the_user_do_not():
    before = registries()
    module = load_source(GENERATED)
    assert registries() == before
    assert [module.Guarded, module.Twice] == module.SEEN
    assert issubclass(module.Twice, Guarded) and module.Marked.mark == "Marked"


def test_what_generated_source_imports_registers_as_ever(tmp_path, monkeypatch):
    text = "from registering import Op\n\nclass Late(Op, key='late'):\n    pass\n"
    (tmp_path / "late_op.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = load_source("from late_op import Late\n\nclass Ours(Late):\n    pass\n")
    try:
        assert registering.BY_NAME["late"] is module.Late is registering.IN_ORDER.pop()
        assert "Ours" not in registering.MADE
    finally:
        del registering.BY_NAME["late"], registering.MADE["Late"]


def test_hooks_are_restored_after_an_error():
    hook = vars(Op)["__init_subclass__"]
    with pytest.raises(NameError):
        load_source("from registering import Op\n\nclass Bad(Op):\n    missing\n")
    assert vars(Op)["__init_subclass__"] is hook
