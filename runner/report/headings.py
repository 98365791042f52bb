"""The headings of the columns of trials, by which a filter names them: each there once."""

from collections.abc import Iterable, Iterator

from runner.display import format as text

OWN = ("rank", "trial", "state", "epochs", "time", "remark")  # as `table.js` has them


def headings(metrics: Iterable[str], choices: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the headings of metrics and of choices: their names, or, where another column has
    that name, with what they are before it, such as `metric:state`."""
    taken: set[str] = set()
    of_choices = [*_free("choice", choices, taken)]
    return [*_free("metric", metrics, taken)], of_choices


def _free(kind: str, names: Iterable[str], taken: set[str]) -> Iterator[str]:
    """Yields a heading for each name that is not taken, and adds it to those that are."""
    for name in names:
        heading = text.clean(name)
        while heading in taken or heading.lower() in OWN:
            heading = f"{kind}:{heading}"
        taken.add(heading)
        yield heading
