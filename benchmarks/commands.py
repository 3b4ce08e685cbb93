"""What a command of `simplexity` takes, in a process of its own: seconds, CPU seconds, and memory."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import simplexity

RESULTS = Path(__file__).parent / "results"
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


def record(name: str, figures: Mapping[str, Any]) -> None:
    """Writes figures into `results`, with the machine and the versions."""
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    machine = {
        "device": next((line.partition(": ")[2] for line in processors if line.startswith("model name")), ""),
        "cpu_cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"simplexity": simplexity.__version__},
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(machine | dict(figures), indent=1) + "\n")
    print(f"recorded in {RESULTS / name}.json")
