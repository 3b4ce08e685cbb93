import logging
from types import SimpleNamespace

import jax
import pytest
from omegaconf import OmegaConf

from simplexity.composition import ConfigError
from simplexity.composition._devices import check_accelerator, share_among_devices


def config(batch_size=6, all_devices=False):
    return OmegaConf.create({"training": {"batch_size": batch_size}, "all_devices": all_devices, "require_gpu": False})


def test_one_device_needs_no_sharing():
    assert share_among_devices(config()) is None


@pytest.mark.parametrize(("all_devices", "number"), [(False, 2), (True, 8)])
def test_each_process_has_its_first_device_or_all(monkeypatch, all_devices, number):
    devices = [SimpleNamespace(process_index=process) for process in (0, 0, 0, 0, 1, 1, 1, 1)]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    with pytest.raises(ConfigError, match=f"`training.batch_size`: must be divisible by .* {number}, got 7"):
        share_among_devices(config(batch_size=7, all_devices=all_devices))


def test_idle_devices_are_told_of(monkeypatch, caplog):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    with caplog.at_level(logging.WARNING, logger="simplexity"):
        check_accelerator(config(all_devices=True), "cpu")
        assert "devices" not in caplog.text
        check_accelerator(config(), "cpu")
    assert "1 of 4 devices is used: `all_devices=true` trains on all of them" in caplog.text
