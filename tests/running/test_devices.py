import logging
from types import SimpleNamespace

import jax
import pytest
from omegaconf import OmegaConf

from simplexity.composition import ConfigError
from simplexity.running import _devices
from simplexity.running._devices import (
    check_accelerator,
    device_names,
    keep_cpu_devices,
    share_among_devices,
    start_jax,
)
from simplexity.runs import RunDirectory


def config(batch_size=6, all_devices=False):
    training = {"batch_size": batch_size, "sequence_len": 4}
    return OmegaConf.create({"training": training, "all_devices": all_devices, "require_gpu": False})


def accelerators(*processes):
    return [SimpleNamespace(platform="gpu", process_index=process) for process in processes]


def test_one_device_needs_no_sharing(monkeypatch):
    assert share_among_devices(config()) is None
    monkeypatch.setattr(jax, "devices", lambda: accelerators(0, 0))
    assert share_among_devices(config(batch_size=7)) is None


@pytest.mark.parametrize(("all_devices", "number"), [(False, 2), (True, 8)])
def test_each_process_has_its_first_device_or_all(monkeypatch, all_devices, number):
    monkeypatch.setattr(jax, "devices", lambda: accelerators(0, 0, 0, 0, 1, 1, 1, 1))
    with pytest.raises(ConfigError, match=f"`training.batch_size`: must be divisible by .* {number}, got 7"):
        share_among_devices(config(batch_size=7, all_devices=all_devices))


def test_idle_devices_are_told_of(monkeypatch, caplog):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    with caplog.at_level(logging.WARNING, logger="simplexity"):
        check_accelerator(config(all_devices=True), "gpu")
        check_accelerator(config(), "cpu")
        assert "devices" not in caplog.text
        check_accelerator(config(), "gpu")
    assert "1 of 4 devices is used: `all_devices=true` trains on all of them" in caplog.text


def test_the_cpu_is_as_many_devices_as_in_the_first_attempt_on_one(monkeypatch, tmp_path):
    wanted = []
    monkeypatch.setattr(_devices, "configure_cpu_devices", lambda tokens, number: wanted.append((tokens, number)))
    directory = RunDirectory(tmp_path)
    start_jax(config(), directory)
    for backend, number in (("gpu", 1), ("cpu", 2), ("cpu", 1)):
        monkeypatch.setattr(jax, "default_backend", lambda name=backend: name)
        monkeypatch.setattr(jax, "device_count", lambda count=number: count)
        keep_cpu_devices(directory)
        start_jax(config(), directory)
    assert wanted == [(24, None), (24, None), (24, 2), (24, 2)]


def test_a_process_that_was_taken_over_does_not_write_down_its_devices(monkeypatch, tmp_path):
    def lost():
        raise RuntimeError("another process took over")

    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    directory = RunDirectory(tmp_path)
    with pytest.raises(RuntimeError, match="took over"):
        keep_cpu_devices(directory, lost)
    assert not directory.origin_path.exists()


def test_devices_are_named_with_their_platform():
    assert device_names()[0].startswith("cpu:0 ")
