"""Seconds from a process's start to its first step, and from a signal to the committed checkpoint."""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from simplexity.runs import Event, EventKind, RunDirectory, read_ledger

SCRIPT = Path(__file__).parent.parent / "simplexity" / "run_experiment.py"
TRIES = 5
_POLL_S = 0.005
_LIMIT_S = 300.0


@dataclass(frozen=True)
class Startup:
    """Medians over tries of the default experiment with a warm compilation cache; `cold_`: one with an empty one."""

    cold_first_step_s: float
    cold_first_step_cpu_s: float
    first_step_s: float
    first_step_cpu_s: float
    signal_to_exit_s: float
    first_step_after_resume_s: float
    saving_percent: float


def measure() -> Startup:
    """Starts, stops and resumes the default experiment."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cold_s, cold_cpu_s, _ = _try(Path(folder) / "cold", cache, started_before=0)
        starts, cpu_times, stops, resumes, savings = [], [], [], [], []
        for i in range(TRIES):
            run_dir = Path(folder) / str(i)
            first_step_s, cpu_s, stop_s = _try(run_dir, cache, started_before=0)
            resumed_s, _, _ = _try(run_dir, cache, started_before=1)
            starts.append(first_step_s)
            cpu_times.append(cpu_s)
            stops.append(stop_s)
            resumes.append(resumed_s)
            savings.append(_saving_percent(run_dir))
    medians = (statistics.median(values) for values in (starts, cpu_times, stops, resumes, savings))
    return Startup(cold_s, cold_cpu_s, *medians)


def _try(run_dir: Path, cache: Path, started_before: int) -> tuple[float, float, float]:
    """One start that is stopped by a signal; seconds and CPU seconds to its first step, seconds from signal to exit."""
    ledger = RunDirectory(run_dir).ledger_path
    started = time.time()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), f"hydra.run.dir={run_dir}"],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "SIMPLEXITY_CACHE": str(cache)},
    )
    deadline = time.monotonic() + _LIMIT_S
    while len(_of_kind(read_ledger(ledger), EventKind.FIRST_STEP)) <= started_before:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the experiment in {run_dir} took no step; exit code {process.poll()}")
        time.sleep(_POLL_S)
    cpu_s = _cpu_s(process.pid)
    first_step_s = _of_kind(read_ledger(ledger), EventKind.FIRST_STEP)[-1].time - started
    time.sleep(1.0)
    signalled = time.monotonic()
    process.send_signal(signal.SIGUSR1)
    process.wait(_LIMIT_S)
    return first_step_s, cpu_s, time.monotonic() - signalled


def _cpu_s(pid: int) -> float:
    """What a process has used of the CPU, which depends less on what else the machine does than the time does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _of_kind(events: list[Event], kind: EventKind) -> list[Event]:
    return [event for event in events if event.kind == kind]


def _saving_percent(run_dir: Path) -> float:
    """What one checkpoint costs of the training time at the default save policy, one in five minutes."""
    events = read_ledger(RunDirectory(run_dir).ledger_path)
    saves = _of_kind(events, EventKind.CHECKPOINT)
    return 100 * max(event.seconds.saving for event in events) / max(len(saves), 1) / 300.0
