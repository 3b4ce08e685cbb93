import importlib.util
import os

import pytest

from simplexity.sweeps import LocalLaunch, _slots
from simplexity.sweeps._slots import divide_machine, visible_gpus


@pytest.fixture
def machine(monkeypatch):
    """Cores and GPUs of the machine."""

    def use(cores: int, gpus: str | None = None, usable: int | None = None):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
        monkeypatch.setattr(_slots, "num_usable_cores", lambda: cores if usable is None else usable)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: gpus if name == "jax_cuda12_plugin" else None)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus or "")
        monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")

    return use


@pytest.mark.parametrize(
    ("cores", "max_parallel", "cores_per_run", "runs", "expected"),
    [
        (2, None, None, 6, [(0,), (1,)]),
        (4, None, 2, 6, [(0, 1), (2, 3)]),
        (4, 2, None, 6, [(0, 1), (2, 3)]),
        (4, None, None, 3, [(0,), (1,), (2,)]),
        (2, 3, None, 6, [(0,), (1,), (0,)]),
        (1, None, 8, 6, [(0,)]),
    ],
)
def test_cores_are_divided(machine, cores, max_parallel, cores_per_run, runs, expected):
    machine(cores)
    launch = LocalLaunch(max_parallel=max_parallel, cores_per_run=cores_per_run)
    assert [slot.cores for slot in divide_machine(launch, runs)] == expected


def test_no_more_runs_than_a_container_has_time_for(machine):
    machine(4, usable=2)
    slots = divide_machine(LocalLaunch(max_parallel=None, cores_per_run=None), 5)
    assert [slot.cores for slot in slots] == [(0,), (1,)]


def test_one_run_on_each_gpu(machine):
    machine(4, "0,3")
    slots = divide_machine(LocalLaunch(max_parallel=None, cores_per_run=None), 5)
    assert [slot.environment for slot in slots] == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "3"}]
    assert [slot.cores for slot in slots] == [(0, 1), (2, 3)]


def test_runs_that_share_a_gpu_share_its_memory(machine):
    machine(4, "0")
    slots = divide_machine(LocalLaunch(max_parallel=3, cores_per_run=None), 5)
    assert {slot.environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] for slot in slots} == {"0.300"}


def test_gpus_that_jax_would_not_use(machine):
    machine(4, "0")
    assert visible_gpus({"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "0"}) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []
    machine(4)
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}) == []
