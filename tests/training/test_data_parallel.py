"""Training over several devices against one device, and how many devices a CPU is."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.host import num_usable_cores
from simplexity.training import DataParallel

# Configures as a run does, computes, and prints the devices, XLA's workers, and the devices that share a batch of 6.
PROGRAM = """
import sys
from pathlib import Path
from simplexity.training import configure_cpu_devices, share_among_cpu_devices
configure_cpu_devices(*map(int, sys.argv[1:]))
import jax.numpy as jnp
jnp.ones(()).block_until_ready()
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
configure_cpu_devices(1, 9)
import jax
shared = share_among_cpu_devices(6)
print(jax.device_count(), names.count("tf_XLAEigen"), shared and shared.num_devices)
"""
CORES = num_usable_cores()
FREE = ("PJRT_NPROC", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS")


def configure(*arguments: int, **variables: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in FREE}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=inherited | {"JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.slow
def test_two_devices_train_as_one_does_whether_or_not_batches_continue():
    root = Path(__file__).parents[2]
    script = "import runpy; runpy.run_module('tests.training.two_devices', run_name='__main__')"
    variables = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_the_mean_over_the_batch_and_its_gradient_are_those_of_one_device():
    def mean(weight, tokens):
        return jnp.mean((weight * tokens) ** 2)

    tokens = jnp.arange(8).reshape(4, 2)
    over_devices = DataParallel(jax.devices()[:1]).mean_over_batch(jax.value_and_grad(mean))
    for found, expected in zip(
        over_devices(jnp.float32(3), tokens), jax.value_and_grad(mean)(3.0, tokens), strict=True
    ):
        np.testing.assert_allclose(found, expected)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
@pytest.mark.parametrize("tokens", [1, 1023])
def test_a_step_with_little_to_compute_gets_one_device_of_one_thread(tokens):
    assert configure(tokens) == ["1", "1", "None"]


@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_a_step_with_more_to_compute_gets_a_device_per_core():
    assert configure(1024)[0] == "2"
    assert configure(512 * 2 * CORES)[0] == str(CORES)


def test_a_wanted_number_does_not_depend_on_the_cores_and_batches_are_shared_evenly():
    assert [configure(1, number)[::2] for number in (3, 4)] == [["3", "3"], ["4", "3"]]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
def test_the_environment_decides():
    assert configure(1, JAX_NUM_CPU_DEVICES="2", PJRT_NPROC="3") == ["2", "3", "2"]
    assert configure(8192, JAX_NUM_CPU_DEVICES="1")[0] == "1"
    assert configure(1, JAX_NUM_CPU_DEVICES="0")[0] == "1"
