"""Plans: what a model is found to share with the one it was made of, and how short that is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from runner.graph import Graph, Unit, convert, recording
from runner.graph.channels.tracks import Track
from runner.graph.weight_transfer.plan import inheritance, mark, source
from runner.graph.weight_transfer.run_length import from_runs, to_runs


@pytest.fixture
def base() -> Graph:
    with recording():
        layers = [nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)]
        return mark(convert(nn.Sequential(*layers)))


def plan(old, new, old_tracks=None, new_tracks=None):
    found = inheritance(old, old_tracks or {}, new, new_tracks or {})
    assert json.loads(json.dumps(found)) == json.loads(json.dumps({**found}))
    return found


def moves(old, new):
    return plan(old, new)["moves"]


@given(st.lists(st.integers(-1, 5)))
def test_runs_give_back_what_they_were_made_of(numbers):
    assert from_runs(to_runs(numbers)) == numbers


def test_runs_are_short():
    assert to_runs(range(64)) == [[0, 64, 1]]
    assert to_runs(i // 49 for i in range(49 * 512)) == [[0, 512, 49]]
    assert to_runs([*range(8), -1, -1]) == [[0, 8, 1], [-1, 1, 2]]


def test_the_plan_for_a_model_that_is_unchanged_says_nothing(base):
    assert moves(base, base.copy()) == {}


def test_a_unit_that_was_replaced_has_nothing_to_start_from(base):
    new = base.copy()
    new.replace("1.0", Unit.of("torch.nn:Linear", 4, 4))
    assert moves(base, new) == {"1.0": None}
    assert source("1.0.weight", {"1.0": None}) is None


def test_a_unit_that_was_moved_or_wrapped_is_found(base):
    new = base.copy()
    first, second, third = (new.unit(str(i)) for i in range(3))
    new.root.children = {"0": first, "1": third}
    assert moves(base, new) == {"1": "2"}
    new.replace("0", Unit.of("torch.nn:Sequential", Unit.of("torch.nn:Dropout"), first))
    found = moves(base, new)
    assert source("0.1.0.weight", found) == "0.0.weight"
    assert source("0.0.weight", found) is None
    assert source("1.0.bias", found) == "2.0.bias"
    assert second.provenance.origin == "1"


def test_copies_of_a_block_start_from_it_and_then_each_from_its_own(base):
    deeper = base.copy()
    for name in ("3", "4"):
        deeper.root.children[name] = deeper.unit("2").copy({})
    assert moves(base, deeper) == {"3": "2", "4": "2"}
    deepest = deeper.copy()
    deepest.root.children["5"] = deepest.unit("4").copy({})
    assert moves(deeper, deepest) == {"5": "2"}
    assert moves(deeper, base) == {}


def test_a_unit_that_two_mutations_made_alike_is_found_by_its_place(base):
    parent, child = base.copy(), base.copy()
    for graph in (parent, child):
        graph.replace("1.0", Unit.of("torch.nn:Linear", 4, 4))
    assert moves(parent, child) == {}
    other = base.copy()
    other.replace("1.0", Unit.of("torch.nn:Bilinear", 4, 4, 4))
    assert moves(parent, other) == {"1.0": None}


def test_a_unit_of_another_class_is_another_one(base):
    new = base.copy()
    other = Unit.of("torch.nn:LazyLinear", 4)
    other.mark(origin="1.0")
    new.replace("1.0", other)
    assert moves(base, new) == {"1.0": None}


def test_copies_know_their_origin_and_that_they_were_inserted(base):
    unit = base.unit("1.0")
    unit.mark(inserted=True)
    for twin in (unit.shallow(), unit.copy({}), base.copy().unit("1.0")):
        assert (twin.provenance.origin, twin.provenance.inserted) == ("1.0", True)


def test_a_unit_in_two_places_is_one(base):
    shared = base.copy()
    shared.root.children["1"] = shared.unit("0")
    assert moves(base, shared) in ({"1": "0"}, {"1": "0", "1.0": "0.0", "1.1": "0.1"})


def test_inserted_units_are_to_be_identities_unless_the_old_model_had_them(base):
    new = base.copy()
    for path, target in (("0", "torch.nn:Linear"), ("1", "spaces.blocks:SqueezeExcite")):
        inserted = Unit.of(target, 4, 4)
        inserted.mark(inserted=True)
        new.replace(path, Unit.of("torch.nn:Sequential", new.unit(path), inserted))
    found = plan(base, new)
    assert found["identity"] == ["0.1"]
    assert found["ready"] == ["1.1"]
    assert plan(new, new.copy())["identity"] == []


def test_only_what_is_cut_is_written_down(base):
    def tracks(width):
        wide, same = tuple(range(width)), tuple(range(4))
        return {
            "0.0.weight": {0: Track("a", wide, True), 1: Track("in", same, False)},
            "0.0.bias": {0: Track("a", wide, True)},
            "1.0.weight": {0: Track("b", same, True), 1: Track("a", wide, False)},
        }

    assert plan(base, base.copy(), tracks(4), tracks(4))["cuts"] == {}
    found = plan(base, base.copy(), tracks(4), tracks(2))
    assert found["cuts"] == {
        "0.0.weight": {
            "0": {"group": 0, "old": [[0, 4, 1]], "new": [[0, 2, 1]], "uses": False, "mixes": None}
        },
        "0.0.bias": {
            "0": {"group": 0, "old": [[0, 4, 1]], "new": [[0, 2, 1]], "uses": False, "mixes": None}
        },
        "1.0.weight": {
            "1": {"group": 0, "old": [[0, 4, 1]], "new": [[0, 2, 1]], "uses": True, "mixes": None}
        },
    }
    [group] = found["groups"]
    assert group["classes"] == [([[0, 4, 1]], [[0, 2, 1]])]
    assert [(m["name"], m["dim"], m["makes"]) for m in group["members"]] == [
        ("0.0.weight", 0, True), ("0.0.bias", 0, True), ("1.0.weight", 1, False)
    ]  # fmt: skip
    assert all(member["channels"] == [[0, 4, 1]] for member in group["members"])
