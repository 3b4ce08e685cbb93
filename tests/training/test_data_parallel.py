"""Training over several devices against one device, and how many devices a CPU is."""

import os
import subprocess
import sys
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.host import num_usable_cores
from simplexity.training import DataParallel

# In a process of its own for each case, configures as a run does, computes, and prints the devices, XLA's workers, and
# the devices that share a batch of 6. Before its first computation JAX has no threads, and can be forked.
PROGRAM = """
import os, sys
from pathlib import Path
import jax
import jax.numpy as jnp
from simplexity.training import configure_cpu_devices, share_among_cpu_devices

def compute(arguments):
    configure_cpu_devices(*arguments)
    jnp.ones(()).block_until_ready()
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    configure_cpu_devices(1, 9)
    shared = share_among_cpu_devices(6)
    print(jax.device_count(), names.count("tf_XLAEigen"), shared and shared.num_devices, flush=True)

for case in sys.argv[1:]:
    if os.fork() == 0:
        compute(map(int, case.split(",")))
        os._exit(0)
    assert os.wait()[1] == 0
"""
CORES = num_usable_cores()
FREE = ("PJRT_NPROC", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS")


def configure(*cases: tuple[int, ...], **variables: str) -> list[list[str]]:
    inherited = {name: value for name, value in os.environ.items() if name not in FREE}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(",".join(map(str, case)) for case in cases)],
        env=inherited | {"JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split() for line in done.stdout.splitlines()]


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


def test_a_call_that_fails_keeps_no_copies_of_its_state():
    copies = []

    def program(arguments, state, num_steps):
        copies.append(weakref.ref(state))
        raise RuntimeError("out of memory")

    train_steps = DataParallel(jax.devices()[:1]).on_first_device(program)
    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        train_steps(None, jnp.zeros(()), 1)
    assert copies[0]() is None


def test_numbers_of_steps_are_kept_on_the_devices_for_a_few_calls():
    numbers = []

    def program(arguments, state, num_steps):
        numbers.append(weakref.ref(num_steps))
        return state

    train_steps = DataParallel(jax.devices()[:1]).on_first_device(program)
    for num_steps in (*range(20), 18, 19):
        train_steps(None, None, num_steps)
    assert [number() is not None for number in numbers[:20]] == [False] * 12 + [True] * 8
    assert [number() for number in numbers[20:]] == [18, 19]
    assert numbers[20]() is numbers[18]()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_a_cpu_is_as_many_devices_as_the_step_has_work_for_or_as_are_wanted():
    little, more, much, three, four = configure((1023,), (1024,), (512 * 2 * CORES,), (1, 3), (1, 4))
    assert little == ["1", "1", "None"]
    assert (more[0], much[0]) == ("2", str(CORES))
    # A wanted number does not depend on the cores, and batches are shared evenly.
    assert [case[::2] for case in (three, four)] == [["3", "3"], ["4", "3"]]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
def test_the_environment_decides():
    assert configure((1,), JAX_NUM_CPU_DEVICES="2", PJRT_NPROC="3") == [["2", "3", "2"]]
    ((one, *_),) = configure((8192,), JAX_NUM_CPU_DEVICES="1")
    ((none, *_),) = configure((1,), JAX_NUM_CPU_DEVICES="0")
    assert one == none == "1"
