"""Training a model without a run: the compiled loop alone, with no folder, no checkpoint and no config."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from simplexity.generative_processes import DataGenerator, GenerativeProcess, LossOptimum, loss_optimum
from simplexity.predictive_models import PredictiveModel

from ._loop import NotFiniteError
from ._settings import TrainingSettings
from ._state import MetricWindow, check_sequences, initial_train_state
from ._step import StepArguments, make_train_steps


class Fit(NamedTuple):
    """A model that was trained without a run."""

    model: PredictiveModel
    history: list[dict[str, float]]
    """`step`, and `loss`, `accuracy` and `excess` as means over the steps since the last entry; losses in nats."""
    optimum: LossOptimum


def fit(
    model: PredictiveModel,
    process: DataGenerator | GenerativeProcess,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    batch_size: int = 128,
    sequence_len: int = 64,
    log_every: int = 100,
    key: PRNGKeyArray | None = None,
) -> Fit:
    """Trains a model on freshly drawn sequences, with the compiled loop of a run but without its folder.

    Args:
        model: The model to begin with; it stays as it is.
        process: What to draw from, with or without special tokens.
        optimizer: Its optimizer.
        num_steps: The number of updates.
        batch_size: Sequences per update.
        sequence_len: Predictions per sequence.
        log_every: Updates per entry of the history.
        key: The source of the sequences; None for `jax.random.key(0)`.

    Raises:
        ValueError: If a number is out of its range.
        NotFiniteError: If the loss is NaN or infinite.

    Example:
        >>> import jax, optax
        >>> import simplexity as sx
        >>> process = sx.processes.coin(0.3)
        >>> model = sx.models.GRU(2, 1, vocab_size=2, key=jax.random.key(0))
        >>> fitted = sx.fit(model, process, optax.adam(1e-2), num_steps=20, sequence_len=8)
        >>> [entry["step"] for entry in fitted.history]
        [20]
    """
    generator = process if isinstance(process, DataGenerator) else DataGenerator(process, None, None)
    settings = TrainingSettings(num_steps, batch_size, sequence_len, log_every, False, None)
    check_sequences(generator, settings)
    optimum = loss_optimum(generator, sequence_len)
    train_steps = make_train_steps(lambda _: optimizer, settings, model)
    # A copy, because a step gives the buffers of the state before it to the state after it.
    own_model = jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, model)
    state = initial_train_state(
        own_model, optimizer, generator, settings, key=jax.random.key(0) if key is None else key
    )
    history: list[dict[str, float]] = []
    while (step := int(state.step)) < num_steps:
        state = train_steps(
            StepArguments(generator, None), state, jnp.asarray(min(log_every, num_steps - step), jnp.int32)
        )
        if not bool(state.finite):
            raise NotFiniteError(int(state.step))
        steps, loss = int(state.window.num_steps), float(state.window.loss) / int(state.window.num_steps)
        accuracy = float(state.window.accuracy) / steps
        history.append({"step": int(state.step), "loss": loss, "accuracy": accuracy, "excess": loss - optimum.nats})
        state = eqx.tree_at(lambda state: state.window, state, MetricWindow.empty())
    return Fit(state.model, history, optimum)
