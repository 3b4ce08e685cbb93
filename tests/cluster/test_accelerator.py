"""The real wheels need a gigabyte and a machine without a driver: tests/containers has a stand-in for their plugin."""

import importlib.util

import pytest

from simplexity.cluster import _accelerator, pass_over_absent_gpu


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
    monkeypatch.setattr(_accelerator, "_DEVICES", (str(tmp_path if device else tmp_path / "none"),))
    environment = {} if before is None else {"JAX_PLATFORMS": before}
    monkeypatch.setattr(_accelerator.os, "environ", environment)
    pass_over_absent_gpu()
    assert environment.get("JAX_PLATFORMS") == after
