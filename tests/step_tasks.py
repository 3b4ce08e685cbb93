"""Runs whose processes believe that they are the tasks of a SLURM job step on this machine."""

import random
import socket
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from simplexity.cluster import step_tasks

from .small_runs import STOPPING, command, environment

TIMEOUT_S = 200


class Task(NamedTuple):
    """How one process ended."""

    returncode: int
    stdout: str
    stderr: str


def run_in_tasks(
    run_dir: Path,
    model: str,
    *overrides: str,
    cache: Path,
    stop_at: dict[int, tuple[str, str, int]] | None = None,
    only: dict[int, tuple[str, ...]] | None = None,
) -> list[Task]:
    """One start of the run in `run_dir` by two processes.

    Args:
        run_dir: The run's directory.
        model: One of `small_runs.MODELS`.
        overrides: Further overrides.
        cache: Folder of the compiled programs.
        stop_at: By process, the signal that it sends itself (see running/stopping.py).
        only: By process, overrides that it alone has.
    """
    step = _step_on_free_port()
    processes = []
    for task in range(2):
        words = command(run_dir, model, *overrides, *(only or {}).get(task, ()))
        if stop_at is not None and task in stop_at:
            words[1:1] = [str(STOPPING), *map(str, stop_at[task])]
        processes.append(_start(words, step, task, cache))
    try:
        ended = [process.communicate(timeout=TIMEOUT_S) for process in processes]
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
    return [Task(process.returncode, *output) for process, output in zip(processes, ended, strict=True)]


def start_first_task(run_dir: Path, model: str, *, cache: Path) -> subprocess.Popen[str]:
    """Starts the first of two processes, and never the second."""
    return _start(command(run_dir, model), _step_on_free_port(), 0, cache)


def _start(words: list[str], step: dict[str, str], task: int, cache: Path) -> subprocess.Popen[str]:
    variables = environment(cache) | step | {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)}
    return subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _step_on_free_port() -> dict[str, str]:
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        pytest.skip(f"no address is known for this machine's name, {name}, and processes connect by it")
    while True:
        step = {
            "SLURM_JOB_ID": str(random.randrange(1, 10**6)),
            "SLURM_STEP_ID": "0",
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_STEP_NUM_NODES": "1",
            "SLURM_STEP_NODELIST": "n1",
            "SLURM_STEP_TASKS_PER_NODE": "2",
            "SLURM_NODEID": "0",
        }
        tasks = step_tasks(step | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"})
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", int(tasks.bind_address.rpartition(":")[2])))
            return step
