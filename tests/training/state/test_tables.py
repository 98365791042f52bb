"""Tables that trials share are put back in place."""

import pytest

from runner.training.state.tables import FEW, MOST, tables
from runner.training.state.watched import ModuleOwner

USER, LIBRARY = ModuleOwner.USER, ModuleOwner.LIBRARY
PUT_BACK = {
    "a dict": (USER, lambda: {"a": 1, "b": 2}, lambda t: t.update(a=3)),
    "a deleted key": (USER, lambda: {"a": 1, "b": 2}, lambda t: t.pop("a")),
    "an added number": (USER, lambda: {"a": 1}, lambda t: t.update(c=3)),
    "an empty dict": (USER, dict, lambda t: t.update(c=3)),
    "an inner list": (USER, lambda: {"a": [1, 2]}, lambda t: t["a"].clear()),
    "a list": (USER, lambda: [1, 2], lambda t: t.append(3)),
    "a set": (USER, lambda: {1, 2}, lambda t: t.discard(1)),
    "functions of a library": (LIBRARY, lambda: {"a": abs}, lambda t: t.update(a=len)),
    "a deleted function": (LIBRARY, lambda: {"a": abs, "b": 1}, lambda t: t.pop("a")),
    "a list of functions": (LIBRARY, lambda: [abs, len], lambda t: t.reverse()),
    "a set of names": (LIBRARY, lambda: {"a", "b"}, lambda t: t.discard("a")),
}
LEFT = {
    "a cache": (USER, dict, lambda t: t.update(a=object())),
    "a number of a library": (LIBRARY, lambda: {"a": abs, "b": 1}, lambda t: t.update(b=2)),
    "a longer list of a library": (LIBRARY, lambda: [abs], lambda t: t.append(len)),
    "a name more": (LIBRARY, lambda: {"a"}, lambda t: t.add("b")),
}


@pytest.mark.parametrize("kind", PUT_BACK)
def test_an_edited_table_is_put_back_in_place(kind):
    owner, make, edit = PUT_BACK[kind]
    table = make()
    found = [*tables(table, "here", owner)]
    edit(table)
    assert {name for one in found for name in one.put_back(())} == {"here"}
    assert table == make()
    assert not [name for one in found for name in one.put_back(())]


@pytest.mark.parametrize("kind", LEFT)
def test_caches_and_state_of_libraries_are_left(kind):
    owner, make, edit = LEFT[kind]
    table = make()
    found = [*tables(table, "here", owner)]
    edit(table)
    after = repr(table)
    assert not [name for one in found for name in one.put_back(())]
    assert repr(table) == after != repr(make())


def test_a_cache_of_a_library_may_grow_and_must_not_change():
    table = {int: bool}
    [one] = tables(table, "ctypes._pointer_type_cache", LIBRARY)
    table[float] = str
    assert not [*one.put_back(())] and table == {int: bool, float: str}
    table[int] = str
    assert [*one.put_back(())] and table[int] is bool


def test_an_import_may_register_something():
    table = {"a": abs}
    [one] = tables(table, "here", USER)
    table["b"] = len
    assert not [*one.put_back({USER})] and "b" in table
    assert [*one.put_back({LIBRARY})] == ["here"] and "b" not in table


def test_what_is_too_long_or_no_table_is_not_looked_at():
    assert not [*tables(dict.fromkeys(range(FEW + 1), abs), "", LIBRARY)]
    assert not [*tables([0] * (MOST + 1), "", USER)]
    assert not [*tables("text", "", USER)] and not [*tables({"a": 1}, "", LIBRARY)]


def test_a_ring_ends():
    ring = [1]
    ring.append(ring)
    found = [*tables(ring, "here", USER)]
    ring[0] = 2
    assert [name for one in found for name in one.put_back(())] == ["here"] and ring[0] == 1
