import os
import subprocess
import sys

import pytest

# Imports and settles as a run does, computes, and prints how many workers XLA has.
PROGRAM = """
import sys
from pathlib import Path
from simplexity.training import settle_threads
settle_threads(int(sys.argv[1]))
import jax.numpy as jnp
jnp.ones(()).block_until_ready()
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
print(names.count("tf_XLAEigen"))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize(
    ("tokens_per_step", "environment", "workers"), [(2048, {}, 1), (2049, {}, None), (1, {"PJRT_NPROC": "2"}, 2)]
)
def test_a_step_with_little_to_compute_gets_one_thread(tokens_per_step, environment, workers):
    inherited = {name: value for name, value in os.environ.items() if name != "PJRT_NPROC"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tokens_per_step)],
        env=inherited | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) == (workers or len(os.sched_getaffinity(0)))
