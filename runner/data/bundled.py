"""Tables that scikit-learn ships, read without its import, which takes longer than training on
them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Table = np.ndarray[Any, np.dtype[np.float64]]


def bundled(
    name: str, delimiter: str | None = None
) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Returns a table of scikit-learn's data sets; None if this release keeps it elsewhere."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "datasets" / "data" / name
    return np.loadtxt(file, delimiter=delimiter) if file.is_file() else None
