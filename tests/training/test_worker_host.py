"""The host of a worker is light: it supervises, and trains nothing."""

import subprocess
import sys


def test_a_host_imports_no_torch():
    """On a node there are as many hosts as workers, and torch takes 200 MB of each process."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import runner.training.host_actor, runner.training.pilot, runner.training.ray\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
