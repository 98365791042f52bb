"""The script of plotly.js, for charts that can be zoomed; of the extra `report`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

# Plotly puts styles of a library for maps into the page, which its policy forbids, unless there is
# an element with this id already.
_OWN_STYLE = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


@final
@dataclass(frozen=True)
class PlotlyScript:
    """The script, and the ids of elements that keep it from making styles of its own."""

    source: str
    ids: Sequence[str]


def plotly_script() -> PlotlyScript | None:
    """Returns the script of the installed plotly; None if it is not installed, or could not stand
    in a script element."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return None
    source: str = get_plotlyjs()
    if re.search(r"</script|<!--", source, re.IGNORECASE) or "\r" in source:
        return None
    return PlotlyScript(source, [*dict.fromkeys(_OWN_STYLE.findall(source))])
