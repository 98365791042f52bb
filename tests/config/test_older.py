"""Records of earlier versions can be read, resumed and retrained."""

import pytest
from records import CONFIG

from runner.config.older import ADDED, ADDED_TO, updated
from runner.config.settings import Settings


def test_what_was_added_is_put_where_it_is_missing():
    older = {key: value for key, value in CONFIG.items() if key not in ADDED}
    assert Settings.model_validate(updated(older)) == Settings.model_validate(CONFIG | ADDED)


def test_what_is_there_stays():
    now = CONFIG | {"initial_weights": "a"}
    assert updated(now) == now


def test_nodes_get_what_was_added_to_their_target():
    for target, added in ADDED_TO.items():
        assert updated({"evaluator": {"_target_": target, "epochs": 3}})["evaluator"] == {
            **added, "_target_": target, "epochs": 3,
        }  # fmt: skip
    odd = {"evaluator": {"_target_": 3}, "data": [], "space": {"_target_": "a.B"}}
    assert updated(odd) == ADDED | odd


@pytest.mark.parametrize("before, now", [(True, "standalone"), (False, "import")])
def test_the_form_of_exported_source_has_its_present_name(before, now):
    older = CONFIG | {"export": {"top": 1, "keep_weights": 10, "standalone": before}}
    assert Settings.model_validate(updated(older)).export.source == now
    assert updated({"export": {"standalone": 3}})["export"] == {"standalone": 3}
