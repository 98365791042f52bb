"""Puts the programs of the graph compiler on the import path: they are flattened, too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "graph"))
