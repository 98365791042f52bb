"""Puts the models whose widths are looked at on the import path: generated sources import them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
