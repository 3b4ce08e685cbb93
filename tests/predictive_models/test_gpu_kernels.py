"""The GPU's kernels against XLA's loops: interpreted on a CPU, and, where there is a GPU, as they are."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.host import jax_has_cuda
from simplexity.predictive_models import GRU, LSTM, RNN, _cell, _recurrence
from simplexity.predictive_models._cell import AutodiffCell, Blocks, DifferentiatedCell
from simplexity.predictive_models._time_loops import States, TimeLoops, XLALoops
from simplexity.predictive_models.gpu_kernels import GPUKernels

H100 = jax.sharding.AbstractMesh(
    (1,), ("x",), abstract_device=jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
)
# The loss and its gradient with the kernels and without, all products in full precision.
PROGRAM = """
import equinox as eqx, jax, numpy as np, optax
from simplexity.predictive_models import GRU, LSTM, RNN
from simplexity.predictive_models.gpu_kernels import GPUKernels
jax.config.update("jax_default_matmul_precision", "highest")
tokens = jax.random.randint(jax.random.key(0), (9, 21), 0, 3)
can_run, answers = GPUKernels.can_run, []

@staticmethod
def record(*layer):
    answers.append(can_run(*layer))
    return answers[-1]

for kind, size in ((GRU, 16), (GRU, 64), (GRU, 100), (LSTM, 24), (LSTM, 64), (RNN, 1), (RNN, 128)):
    model = kind(size, 2, vocab_size=3, key=jax.random.key(1))
    results = []
    for GPUKernels.can_run in (record, staticmethod(lambda *layer: False)):
        losses = optax.softmax_cross_entropy_with_integer_labels
        loss = lambda model: losses(model.forward(tokens[:, :-1])[0], tokens[:, 1:]).mean()
        results.append(jax.tree.leaves(eqx.filter_jit(eqx.filter_value_and_grad(loss))(model)))
    for ours, plain in zip(*results, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-6, err_msg=f"{kind.__name__} {size}")
assert answers and all(answers), answers
"""
# Runs side by side, in blocks of sequences and sequence by sequence, against XLA's loops.
PACK_PROGRAM = """
import equinox as eqx, jax, numpy as np, optax
from simplexity.predictive_models import GRU, LSTM, RNN, gpu_kernels
from simplexity.predictive_models.gpu_kernels import GPUKernels
jax.config.update("jax_default_matmul_precision", "highest")
can_run = GPUKernels.can_run

for kind, size, batch in ((GRU, 64, 128), (GRU, 32, 9), (GRU, 8, 16), (LSTM, 64, 20), (RNN, 128, 16)):
    tokens = jax.random.randint(jax.random.key(0), (5, batch, 21), 0, 3)
    models = jax.vmap(lambda key: kind(size, 2, vocab_size=3, key=key))(jax.random.split(jax.random.key(1), 5))
    losses = optax.softmax_cross_entropy_with_integer_labels
    loss = lambda model, tokens: losses(model.forward(tokens[:, :-1])[0], tokens[:, 1:]).mean()
    results = []
    for fewest, has_kernels in ((1, True), (10**9, True), (1, False)):
        gpu_kernels.FEWEST_SEQUENCES_OF_BLOCKS = fewest
        GPUKernels.can_run = staticmethod(can_run if has_kernels else lambda *layer: False)
        gradients = eqx.filter_jit(lambda *both: jax.vmap(eqx.filter_value_and_grad(loss))(*both))(models, tokens)
        results.append(jax.tree.leaves(gradients))
    for blocks, vectors, plain in zip(*results, strict=True):
        for name, ours in (("blocks", blocks), ("sequences", vectors)):
            message = f"{kind.__name__} {size} in {name}"
            np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-6, err_msg=message)
"""


CELLS = (GRU.cell, LSTM.cell, RNN.cell)
SHAPES = ((None, 3, 2, 48), (None, 1, 3, 1), (2, 2, 17, 64))
# Runs side by side, with batches that fill their blocks of sequences or do not.
CASES = [(cell, shape) for cell in CELLS for shape in SHAPES] + [(GRU.cell, (1, 3, 16, 24)), (GRU.cell, (3, 2, 9, 32))]


def _case_id(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else type(value).__name__


# A gradient of each kind of kernel, compiled for an H100 by the compiler of CUDA's plugin, which needs no GPU for that.
COMPILER_PROGRAM = """
import equinox as eqx, jax, jax.numpy as jnp
from jax.experimental.topologies import get_topology_desc
from simplexity.predictive_models import GRU, LSTM
from simplexity.predictive_models.gpu_kernels import GPUKernels
H100 = '''
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 cuda_compute_capability { major: 9 minor: 0 }
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84978434048
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 patch: 0 } device_description_str: "NVIDIA H100 80GB HBM3"
'''
topology = get_topology_desc("", "cuda", topology="1x1x1", target_config=H100)
sharding = jax.sharding.SingleDeviceSharding(topology.devices[0])
jax.default_backend, GPUKernels.knows_device = lambda: "gpu", staticmethod(lambda: True)

def gradient(model, tokens):
    return eqx.filter_grad(lambda model: model.forward(tokens)[0].sum())(model)

# The last two are too large for blocks of sequences, one of them only when it is padded.
for kind, size, batch in ((GRU, 64, 128), (LSTM, 64, 16), (GRU, 72, 16), (GRU, 128, 16)):
    keys = jax.random.split(jax.random.key(0), 4)
    models = jax.eval_shape(jax.vmap(lambda key: kind(size, 1, vocab_size=3, key=key)), keys)
    tokens = jax.ShapeDtypeStruct((4, batch, 9), jnp.int32)
    place = lambda shape: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)
    arguments = jax.tree.map(place, (models, tokens))
    text = jax.jit(jax.vmap(gradient)).lower(*arguments).compile().as_text()
    assert "forward_kernel" in text and "backward_kernel" in text, (kind, size)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "shape"), CASES, ids=_case_id)
def test_gpu_kernels_are_the_loops_over_time(
    cell: DifferentiatedCell, shape: tuple[int | None, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Kernels take each gate by itself.
    monkeypatch.setattr(_cell, "_NARROW", 0)
    num_runs, length, batch, hidden_size = shape
    generator = np.random.default_rng(5)

    def draw(*shape: int) -> jax.Array:
        shape = shape if num_runs is None else (num_runs, *shape)
        return jnp.asarray(generator.normal(0, 0.5, size=shape), jnp.float32)

    def biases(number: int) -> tuple[jax.Array, ...]:
        return tuple(draw(hidden_size) for _ in range(number))

    weight = draw(hidden_size, cell.num_gates * hidden_size) * hidden_size**-0.5
    nonadditive_bias, bias = biases(cell.num_nonadditive_gates), biases(cell.num_gates)
    inputs, cotangent = tuple(draw(length, batch, hidden_size) for _ in bias), draw(length, batch, hidden_size)

    def forward(loops: TimeLoops, weight: jax.Array, *arrays: Blocks) -> tuple[States, Blocks]:
        states, saved = loops.run_forward(cell, weight, *arrays)
        return states, saved[: cell.num_gates]

    def backward(loops: TimeLoops, cotangent: jax.Array, weight: jax.Array, *arrays: Blocks) -> tuple[Blocks, Blocks]:
        _, nonadditive_bias, _ = arrays
        states, saved = loops.run_forward(cell, weight, *arrays)
        return loops.run_backward(cell, weight, nonadditive_bias, cotangent, states, saved)

    def function(direction: Callable, loops: TimeLoops) -> Callable:
        function = partial(direction, loops)
        return function if num_runs is None else jax.vmap(function)

    layer = (weight, bias, nonadditive_bias, inputs)
    for direction, arguments in ((forward, layer), (backward, (cotangent, *layer))):
        expected = jax.jit(function(direction, XLALoops()))(*arguments)
        actual = jax.jit(function(direction, GPUKernels(interpret=True)))(*arguments)
        jax.tree.map(partial(np.testing.assert_allclose, atol=2e-6, err_msg=direction.__name__), actual, expected)
        # No GPU runs it here, but Triton must know every operation in it.
        with jax.sharding.use_abstract_mesh(H100), monkeypatch.context() as patch:
            patch.setattr(jax, "default_backend", lambda: "gpu")
            traced = jax.jit(function(direction, GPUKernels())).trace(*arguments)
            program = traced.lower(lowering_platforms=("cuda",))
        assert "triton" in program.as_text()


def test_a_cell_that_jax_differentiates_takes_xlas_loops_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(GPUKernels, "knows_device", lambda: True)
    _recurrence._gpu_kernels.cache_clear()
    assert isinstance(_recurrence._loops_for(GRU.cell, 8), GPUKernels)
    assert isinstance(_recurrence._loops_for(AutodiffCell(GRU.cell), 8), XLALoops)
    _recurrence._gpu_kernels.cache_clear()


@pytest.mark.slow
@pytest.mark.skipif(not jax_has_cuda(), reason="needs jax with CUDA")
def test_a_packs_kernels_compile_for_an_h100_without_a_gpu() -> None:
    # Without a GPU, XLA cannot measure alternatives.
    variables = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_gpu_autotune_level=0"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILER_PROGRAM],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(
    not (jax_has_cuda() and Path("/dev/nvidia0").exists()), reason="needs an NVIDIA GPU, and jax with CUDA"
)
@pytest.mark.parametrize("program", [PROGRAM, PACK_PROGRAM], ids=["alone", "pack"])
def test_the_kernels_compute_what_xla_does_on_a_gpu(program: str) -> None:
    # Other tests of the GPU may run at the same time.
    variables = {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
