"""The loss of a batch and its gradient, accumulated over micro-batches and averaged over devices."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from simplexity.predictive_models import MicroBatch, PredictiveModel

from ._data_parallel import DataParallel
from ._losses import accuracy, cross_entropy

# Micro-batches of a quarter of the size that the model asks for have operations that are too short.
_LEAST_SHARE = 4


def make_loss_and_gradient(
    parallel: DataParallel | None,
) -> Callable[[PredictiveModel, Int[Array, "batch length"]], PyTree]:
    """Builds `loss_and_gradient(model, tokens)`, which returns `((loss, accuracy), gradient)` of a batch.

    The loss is the mean cross entropy in nats per predicted token, the accuracy the share of tokens that were the
    likeliest, and the gradient that of the loss, for the model's floating-point arrays.

    On a CPU a device computes the gradient of its rows in micro-batches, one after the other, so that what the backward
    pass reads again is still in the core's cache.

    Args:
        parallel: The devices that share a batch; None for one device.
    """
    of_rows = eqx.filter_value_and_grad(_loss_and_accuracy, has_aux=True)

    def in_micro_batches(model: PredictiveModel, tokens: Int[Array, "rows length"]) -> PyTree:
        num_rows, length = tokens.shape
        number = num_micro_batches(num_rows, length - 1, micro_batch_of(model))
        return mean_over_micro_batches(of_rows, number)(model, tokens)

    function = in_micro_batches if jax.default_backend() == "cpu" else of_rows
    return function if parallel is None else parallel.mean_over_batch(function)


def micro_batch_of(model: Any) -> MicroBatch:
    """The best size of the model's micro-batches; a user's model is any module with `forward`."""
    return getattr(model, "micro_batch", MicroBatch())


def num_micro_batches(num_rows: int, tokens_per_row: int, size: MicroBatch) -> int:
    """Into how many micro-batches of equal size a CPU's core should divide its rows of the batch; 1 to not divide."""
    most_rows = max(size.fewest_rows, size.most_tokens // tokens_per_row, 1)
    rows = max(divisor for divisor in range(1, min(most_rows, num_rows) + 1) if num_rows % divisor == 0)
    is_tiny = rows * _LEAST_SHARE < most_rows
    return 1 if is_tiny else num_rows // rows


def mean_over_micro_batches(function: Callable[..., PyTree], number: int) -> Callable[..., PyTree]:
    """`function(model, tokens)`, a mean over the rows of `tokens`, accumulated over `number` micro-batches."""
    if number == 1:
        return function

    def over_micro_batches(model: Any, tokens: Int[Array, "rows length"]) -> PyTree:
        def add(sums: PyTree, micro_batch: Int[Array, "rows_of_it length"]) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, sums, function(model, micro_batch)), None

        micro_batches = tokens.reshape(number, -1, tokens.shape[-1])
        shapes = eqx.filter_eval_shape(function, model, micro_batches[0])
        zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        sums, _ = jax.lax.scan(add, zeros, micro_batches)
        return jax.tree.map(lambda total: total / number, sums)

    return over_micro_batches


def _loss_and_accuracy(model: PredictiveModel, tokens: Int[Array, "batch length"]) -> tuple[Float[Array, ""], ...]:
    logits, _ = model.forward(tokens[:, :-1])
    targets = tokens[:, 1:]
    return cross_entropy(logits, targets).mean(), accuracy(logits, targets).mean()
