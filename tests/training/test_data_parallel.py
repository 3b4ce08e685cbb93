import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.training import DataParallel


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
