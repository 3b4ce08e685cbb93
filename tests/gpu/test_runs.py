"""What only a GPU can show. All of it is subprocesses, because the other tests keep this one's JAX on the CPU."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from simplexity.generative_processes import DataGenerator, rrxor
from simplexity.host import jax_has_cuda
from simplexity.runs import RunDirectory, read_environments
from tests.small_runs import SCRIPT, assert_same_run, environment, run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (jax_has_cuda() and Path("/dev/nvidia0").exists()), reason="needs an NVIDIA GPU, and jax with CUDA"
    ),
]

# Other processes may use the GPU at the same time.
ON_GPU = {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.1"}
TOKENS = """
import json, jax
from simplexity.generative_processes import DataGenerator, rrxor
generator = DataGenerator(rrxor(0.5, 0.4), None, None)
state = generator.initial_sampling_state(8, key=jax.random.key(0))
print(json.dumps(generator.sample(state, 20, key=jax.random.key(1))[1].tolist()))
"""


def on_gpu(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | ON_GPU, cwd=SCRIPT.parent.parent, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tokens_are_those_of_a_cpu():
    generator = DataGenerator(rrxor(0.5, 0.4), None, None)
    state = generator.initial_sampling_state(8, key=jax.random.key(0))
    np.testing.assert_array_equal(json.loads(on_gpu(TOKENS)), generator.sample(state, 20, key=jax.random.key(1))[1])


def test_the_default_experiment_ends_near_its_optimum(cache, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), f"hydra.run.dir={tmp_path / 'run'}", "require_gpu=true"],
        env=environment(cache) | ON_GPU, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (excess_percent,) = re.findall(r"\((\S+) %\)$", done.stdout.splitlines()[-1])
    assert float(excess_percent) < 1
    (record,) = read_environments(RunDirectory(tmp_path / "run").environment_path)
    assert record["devices"][0].startswith("gpu:0 NVIDIA")


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("gru", ("predictive_model.instance.hidden_size=64", "predictive_model.instance.num_layers=2")),
        ("gru-ghmm-bos", ("predictive_model=lstm", "predictive_model.instance.hidden_size=32")),
        ("transformer-bos", ("predictive_model.instance.model_size=64", "predictive_model.instance.mlp_size=256")),
    ],
)
def test_a_run_resumes_bit_for_bit_where_its_programs_are_compiled_anew(model, overrides, tmp_path):
    larger = (*overrides, "training.batch_size=64", "training.sequence_len=64")
    reference = run(tmp_path / "reference", model, *larger, cache=tmp_path / "a", variables=ON_GPU)
    assert reference.returncode == 0, reference.stderr
    stop_at = ("mid_chunk", "SIGTERM", 3)
    stopped = run(tmp_path / "run", model, *larger, cache=tmp_path / "b", stop_at=stop_at, variables=ON_GPU)
    assert stopped.returncode == 85, stopped.stderr
    resumed = run(tmp_path / "run", model, *larger, cache=tmp_path / "c", variables=ON_GPU)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(tmp_path / "run", tmp_path / "reference")


def test_the_runs_of_a_sweep_share_a_gpu(tmp_path, cache):
    small = ("training.num_train_steps=20", "training.log_every=10", "validation.every=20", "figures=false")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--multirun", "seed=0,1,2,3", "hydra/launcher=local",
         "hydra.launcher.max_parallel=4", f"hydra.sweep.dir={tmp_path / 'sweep'}", "require_gpu=true", *small],
        env=environment(cache) | {"JAX_PLATFORMS": "cuda"}, cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "sweep").glob("*/metrics.jsonl"))) == 4
