"""Seconds from a process's start to its first step, and from a signal to the committed checkpoint.

python -m benchmarks.startup
"""

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
MODELS = ("gru", "transformer")
TRIES = 3
_POLL_S = 0.005
_LIMIT_S = 300.0


@dataclass(frozen=True)
class Startup:
    """Medians over tries of the experiment with a warm compilation cache; `cold_`: one with an empty one."""

    cold_first_step_s: float
    cold_first_step_cpu_s: float
    first_step_s: float
    first_step_cpu_s: float
    signal_to_exit_s: float
    first_step_after_resume_s: float
    saving_percent: float

    def rows(self) -> list[str]:
        """What is printed of it."""
        return [
            f"start to first step, warm cache: {self.first_step_s:.2f} s, {self.first_step_cpu_s:.2f} s of CPU",
            f"with an empty one: {self.cold_first_step_s:.1f} s, {self.cold_first_step_cpu_s:.1f} s of CPU",
            f"start to first step of a resumed run: {self.first_step_after_resume_s:.2f} s",
            f"signal to exit, checkpoint committed: {self.signal_to_exit_s:.2f} s",
            f"saving every five minutes costs {self.saving_percent:.3f} % of the training time",
        ]


def measure(model: str) -> Startup:
    """Starts, stops and resumes the experiment whose `predictive_model` is `model`; all else is the default."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cold_s, cold_cpu_s, _ = _try(model, Path(folder) / "cold", cache, started_before=0)
        starts, cpu_times, stops, resumes, savings = [], [], [], [], []
        for i in range(TRIES):
            run_dir = Path(folder) / str(i)
            first_step_s, cpu_s, stop_s = _try(model, run_dir, cache, started_before=0)
            resumed_s, _, _ = _try(model, run_dir, cache, started_before=1)
            starts.append(first_step_s)
            cpu_times.append(cpu_s)
            stops.append(stop_s)
            resumes.append(resumed_s)
            savings.append(_saving_percent(run_dir))
    medians = (statistics.median(values) for values in (starts, cpu_times, stops, resumes, savings))
    return Startup(cold_s, cold_cpu_s, *medians)


def measure_and_print() -> dict[str, Startup]:
    """The figures of each of `MODELS`, by its name; each is printed when it is measured."""
    measured = {}
    for model in MODELS:
        measured[model] = measure(model)
        print("\n".join((f"\npredictive_model={model}", *measured[model].rows())), flush=True)
    return measured


def _try(model: str, run_dir: Path, cache: Path, started_before: int) -> tuple[float, float, float]:
    """One start that is stopped by a signal; seconds and CPU seconds to its first step, seconds from signal to exit."""
    ledger = RunDirectory(run_dir).ledger_path
    started = time.time()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), f"predictive_model={model}", f"hydra.run.dir={run_dir}"],
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


if __name__ == "__main__":
    measure_and_print()
