"""What a command of `simplexity` takes, in a process of its own: seconds, CPU seconds, and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CLI = [sys.executable, "-P", "-m", "simplexity.cli"]


class Cost(NamedTuple):
    """What a command took: wall-clock seconds, seconds of CPU (its own and the system's), its largest resident set."""

    seconds: float
    cpu_s: float
    memory_mb: float


def measure(command: Sequence[str], environment: Mapping[str, str] = os.environ) -> Cost:
    """Runs a command that must succeed."""
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with code {process.returncode}")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
