"""The choices of a report: what the space says, or else the values seen."""

from reported import HOSTILE

from runner.report.choices import condition_text, met_choices, seen_choices
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.space import FlatSpace, Space
from runner.space.structure import Part
from runner.trial import Trial


def tried(*samples):
    return [Trial(number=i, sample=sample, seed=0) for i, sample in enumerate(samples)]


class Deeper(Space):
    """A second choice only if the first one says so."""

    def draw(self, choose):
        depth = choose(Categorical("depth", (1, 2)))
        sample = {"depth": depth}
        if depth == 2:
            sample["act"] = choose(Categorical("act", ("relu", "gelu")))
        return sample


def test_without_a_space_candidates_are_the_values_seen():
    [a, b] = seen_choices(tried({"a": 2, "b": "x"}, {"a": 1}, {"a": 2}))
    assert a.data() == {
        "label": "a", "values": ["2", "1"], "numeric": True, "candidates": ["1", "2"],
        "seen": True, "when": "",
    }  # fmt: skip
    assert (b.values, b.is_numeric) == (["x"], False)


def test_equal_numbers_are_one_value_and_true_is_none_of_them():
    [a] = seen_choices(tried({"a": 1}, {"a": 1.0}, {"a": True}))
    assert a.values == [1, True]
    assert not a.is_numeric


def test_many_numbers_are_a_range():
    [a] = seen_choices(tried(*({"a": i / 7} for i in range(100))))
    assert {"low": 0.0, "high": 99 / 7}.items() <= a.data().items()
    assert "candidates" not in a.data()


def test_a_space_says_what_was_never_tried_and_when_it_is_asked():
    kind = Categorical("kind", ("a", "b", "c"))
    parts = [
        Part(kind, {}), Part(Numeric("lr", 1e-4, 0.1, log=True), {}),
        Part(Subset("inputs", 4, 2), {"kind": ("a", "b")}), Part(Numeric("n", 1, 3, step=1), {}),
    ]  # fmt: skip
    found = {one.label: one.data() for one in seen_choices(tried({"kind": "b"}), parts)}
    assert found["kind"]["candidates"] == ["a", "b", "c"]
    assert found["lr"] | {"low": 1e-4, "high": 0.1, "log": True} == found["lr"]
    assert found["inputs"]["indices"] == 4
    assert found["inputs"]["when"] == "kind = a or b"
    assert found["n"]["candidates"] == ["1", "2", "3"]
    assert not any("seen" in data for data in found.values())


def test_samples_lead_to_all_choices_that_they_answer():
    met = met_choices(Deeper(), [{"depth": 1}, {"depth": 1}, {"depth": 2, "act": "gelu"}])
    assert {part.choice.label: str(part.choice) for part in met} == {
        "depth": "1, 2", "act": "'relu', 'gelu'",
    }  # fmt: skip


def test_a_sample_that_no_longer_fits_the_space_is_left_out():
    space = FlatSpace([Categorical("a", (1, 2))])
    assert met_choices(space, [{"a": 3}, {"b": 1}]) == []
    assert [part.choice.label for part in met_choices(space, [{"a": 3}, {"a": 2}])] == ["a"]


def test_hostile_text_is_clean():
    [one] = seen_choices(tried({HOSTILE: HOSTILE}))
    assert one.data()["label"].isprintable()
    assert all(value.isprintable() for value in one.data()["values"])
    assert condition_text({HOSTILE: (HOSTILE, 1)}).isprintable()
