"""The program of both scripts, called in this process, and Python programs started as processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from simplexity.host import PreemptionGuard
from simplexity.running._entrypoint import run
from simplexity.running._run_log import close_logs

ROOT = Path(__file__).parents[2]


def call_program(config_name: str, *arguments: str) -> int:
    """Runs the program as `entrypoint` does, and returns its exit code instead of ending the process with it.

    Args:
        config_name: Primary config. Hydra names the run's log by `sys.argv[0]`, which the caller sets.
        *arguments: Of the command line.
    """
    try:
        return run(config_name, arguments, PreemptionGuard())
    finally:
        # A process's end closes them. Left open here, they would fail whichever test comes next.
        close_logs()


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Starts Python in `folder`, a user's own, beside which lies the folder of the site's configs."""
    # The stand-in model's module lies beside the site's configs.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder.parent / 'site'}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
