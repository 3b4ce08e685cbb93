"""The real wheels need a gigabyte and a machine without a driver: tests/containers has a stand-in for their plugin."""

import importlib.util
import os

import pytest

from simplexity.host import _processors, configure_accelerator, num_usable_cores


@pytest.mark.parametrize(
    ("installed", "device", "before", "after"),
    [
        (True, False, None, "cpu"),
        (True, False, "", "cpu"),
        (True, True, None, None),
        (False, False, None, None),
        (True, False, "cuda", "cuda"),
    ],
)
def test_only_an_absent_gpu_is_passed_over(monkeypatch, tmp_path, installed, device, before, after):
    found = importlib.util.find_spec("json") if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr(_processors, "_DEVICES", (str(tmp_path if device else tmp_path / "none"),))
    environment = {} if before is None else {"JAX_PLATFORMS": before}
    monkeypatch.setattr(_processors.os, "environ", environment)
    configure_accelerator()
    assert environment.get("JAX_PLATFORMS") == after


@pytest.mark.parametrize(
    ("installed", "before", "after"),
    [
        (True, None, "--xla_gpu_deterministic_ops=true"),
        (True, "--xla_dump_to=/d", "--xla_dump_to=/d --xla_gpu_deterministic_ops=true"),
        (True, "--xla_gpu_deterministic_ops=false", "--xla_gpu_deterministic_ops=false"),
        (False, None, None),
    ],
)
def test_gpu_programs_are_deterministic_unless_somebody_says_otherwise(monkeypatch, installed, before, after):
    monkeypatch.setattr(_processors, "jax_has_cuda", lambda: installed)
    environment = {"JAX_PLATFORMS": "cuda"} | ({} if before is None else {"XLA_FLAGS": before})
    monkeypatch.setattr(_processors.os, "environ", environment)
    configure_accelerator()
    assert environment.get("XLA_FLAGS") == after


@pytest.mark.parametrize(
    ("quota", "number"),
    [(None, 4), ("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 4), ("nonsense", 4)],
)
def test_a_container_counts_the_cores_that_its_time_is_worth(monkeypatch, tmp_path, quota, number):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    monkeypatch.setattr(_processors, "_QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert num_usable_cores() == number
