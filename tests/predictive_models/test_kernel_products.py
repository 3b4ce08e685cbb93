"""Products on the matrix units have the precision that they promise, and a pack takes them where they pay."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import GRU, gpu_kernels
from simplexity.predictive_models._cell import DifferentiatedCell
from simplexity.predictive_models._kernel_products import BlockProducts, Products, VectorProducts
from simplexity.predictive_models.gpu_kernels import GPUKernels, products_of_pack


def error(rows: np.ndarray, weights: list[np.ndarray], products: BlockProducts) -> float:
    """The largest error of any product's entry, over the sum of the absolute values that the entry is the sum of."""
    prepared = tuple(products.prepare(jnp.asarray(weight)) for weight in weights)
    each = products.with_each(jnp.asarray(rows), prepared)
    summed = products.summed((jnp.asarray(rows),) * len(weights), prepared)
    exact = [rows.astype(np.float64) @ weight for weight in weights]
    sizes = [abs(rows).astype(np.float64) @ abs(weight) for weight in weights]
    compared = zip((*each, summed), (*exact, sum(exact)), (*sizes, sum(sizes)), strict=True)
    return max(float((abs(actual - expected) / size).max()) for actual, expected, size in compared)


def test_three_products_of_tf32_numbers_are_as_precise_as_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    rows, *weights = (generator.normal(size=(size, 64)).astype(np.float32) for size in (16, 64, 64, 64))
    assert error(rows, weights, BlockProducts(16)) < 2**-19
    # And one of them alone is not.
    monkeypatch.setattr("simplexity.predictive_models._kernel_products._multiply", lambda a, b: jnp.dot(a.high, b.high))
    assert error(rows, weights, BlockProducts(16)) > 2**-13


def test_a_number_is_the_sum_of_its_parts_up_to_the_promised_bits() -> None:
    numbers = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    high, low = map(np.asarray, BlockProducts(16).prepare(jnp.asarray(numbers)))
    assert not (high.view(np.int32) & 0x1FFF).any()
    assert not (low.view(np.int32) & 0x1FFF).any()
    assert (abs(high + low - numbers) <= 2**-21 * abs(numbers)).all()


@pytest.mark.parametrize(
    ("num_gates", "hidden_size", "num_sequences", "kind"),
    [
        (3, 64, 128, BlockProducts),
        (3, 64, 4, VectorProducts),  # most rows of a block would be empty
        (3, 32, 32, BlockProducts),
        (4, 64, 16, BlockProducts),
        (1, 72, 16, BlockProducts),
        (3, 128, 128, VectorProducts),  # their parts do not fit into shared memory
        (3, 72, 128, VectorProducts),  # nor do those of 72 units, which are padded to 128
    ],
)
def test_blocks_are_taken_where_they_pay(num_gates: int, hidden_size: int, num_sequences: int, kind: type) -> None:
    assert isinstance(products_of_pack(num_gates, hidden_size, num_sequences), kind)


def test_only_runs_with_weights_of_their_own_are_a_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def record(*of: int) -> Products:
        asked.append(of)
        return BlockProducts(16)

    monkeypatch.setattr(gpu_kernels, "products_of_pack", record)
    cell: DifferentiatedCell = GRU.cell
    weight, bias, inputs = jnp.zeros((2, 8, 24)), jnp.zeros((2, 8)), jnp.zeros((2, 3, 5, 8))
    runs = (weight, (bias,) * 3, (bias,), (inputs,) * 3)
    run = tuple(jax.tree.map(lambda array: array[0], part) for part in runs)
    forward = partial(GPUKernels(interpret=True).run_forward, cell)
    for in_axes, arguments in ((0, runs), ((None, None, None, 0), (*run[:3], runs[3]))):
        states, saved = jax.eval_shape(jax.vmap(forward, in_axes), *arguments)
        assert [array.shape for array in (*states, *saved)] == [(2, 3, 5, 8)] * 4
    jax.eval_shape(forward, *run)
    assert asked == [(3, 8, 5)]
