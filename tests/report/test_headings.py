"""No two columns of a report have one heading."""

from reported import HOSTILE

from runner.report.headings import OWN, headings


def test_names_are_headings_as_they_are():
    assert headings(["val/accuracy", "params"], ["depth"]) == (
        ["val/accuracy", "params"],
        ["depth"],
    )


def test_what_is_named_like_another_column_says_what_it_is():
    metrics, choices = headings(["state", "depth", "Trial"], ["depth", "time"])
    assert metrics == ["metric:state", "metric:depth", "metric:Trial"]
    assert choices == ["depth", "choice:time"]


def test_headings_are_unique_whatever_the_names_are():
    names = [*OWN, "metric:state", "a", "choice:a", "metric:a", HOSTILE, f"{HOSTILE}\u202e"]
    metrics, choices = headings(names, names)
    assert len({*metrics, *choices, *OWN}) == 2 * len(names) + len(OWN)
    assert all(heading.isprintable() for heading in (*metrics, *choices))
