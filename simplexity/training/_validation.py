"""Validation on fresh sequences that training never sees, the same ones at every validation of a run."""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from simplexity.generative_processes import DataGenerator
from simplexity.predictive_models import PredictiveModel

from ._losses import accuracy, cross_entropy, kl_divergence
from ._settings import ValidationSettings
from ._state import RunState


class ValidationMetrics(NamedTuple):
    """Means over all sequences of one validation.

    `kl` is the mean divergence, in nats per token, from the process's true distribution of the next token to the
    model's. The expected loss of a token, given the tokens before it, is the entropy of its true distribution plus this
    divergence. The mean of those entropies over all sequences is known exactly: it is the optimum. So the validation
    loss is the optimum plus `kl`. It has some noise, because the sequences are sampled, but none from the choice of
    each next token. `sampled_loss`, the cross entropy of the sampled tokens in nats per token, has both.
    """

    sampled_loss: float
    accuracy: float
    kl: float
    accuracy_per_position: Float[np.ndarray, " sequence_len"]
    kl_per_position: Float[np.ndarray, " sequence_len"]


class ValidationArguments(NamedTuple):
    """What all validations of a run share but the model: where its sequences come from, and their random key."""

    generator: DataGenerator
    key: PRNGKeyArray


Score = Callable[[DataGenerator, PredictiveModel, PRNGKeyArray, Int[Array, ""]], Float[Array, "3 sequence_len"]]
"""`score(generator, model, key, batch)`: sampled loss, accuracy and KL divergence at each position of one batch.

`batch` counts the batches of one key from 0.
"""


def make_score(batch_size: int, sequence_len: int) -> Score:
    """Builds the jitted program of one validation batch.

    Args:
        batch_size: Sequences per batch.
        sequence_len: Predictions per sequence.
    """

    def score(
        generator: DataGenerator, model: PredictiveModel, key: PRNGKeyArray, batch: Int[Array, ""]
    ) -> Float[Array, "3 sequence_len"]:
        start_key, sample_key = jax.random.split(jax.random.fold_in(key, batch))
        start = generator.initial_sampling_state(batch_size, key=start_key)
        _, tokens = generator.sample(start, sequence_len, key=sample_key)
        logits, _ = model.forward(tokens[:, :-1])
        truth = jax.vmap(generator.next_token_probabilities)(tokens)
        return score_positions(logits, tokens[:, 1:], truth)

    return eqx.filter_jit(score)


class Validation:
    """Validates models on one generator.

    Args:
        generator: The process that the sequences come from.
        settings: The number of sequences.
        sequence_len: Predictions per sequence.
        key: The random key of the sequences; equal keys give equal sequences.
        score: From `make_score`, or compiled from that; None to compile at the first validation.
    """

    def __init__(
        self,
        generator: DataGenerator,
        settings: ValidationSettings,
        sequence_len: int,
        *,
        key: PRNGKeyArray,
        score: Score | None = None,
    ):
        self.settings = settings
        self._key = key
        self._generator = generator
        self._score = make_score(settings.batch_size, sequence_len) if score is None else score

    def __call__(self, state: RunState, interrupted: Callable[[], bool] = lambda: False) -> ValidationMetrics | None:
        """Validates the model of a state.

        Args:
            state: The state, of the shapes that were compiled for.
            interrupted: Whether to stop; called before each batch.

        Returns:
            The metrics, or None if it was interrupted.
        """
        model = state.read().model

        def scores_from(batch: int) -> Float[np.ndarray, "1 3 sequence_len"]:
            return np.asarray(self._score(self._generator, model, self._key, jax.device_put(np.int32(batch))))[None]

        return mean_over_batches(self.settings.num_batches, scores_from, interrupted)


def mean_over_batches(
    num_batches: int,
    scores_from: Callable[[int], Float[np.ndarray, "batches 3 sequence_len"]],
    interrupted: Callable[[], bool],
) -> ValidationMetrics | None:
    """The metrics of a validation; None if it was interrupted.

    Args:
        num_batches: How many batches it has.
        scores_from: The scores of the batch with this number, and of as many after it as are computed at a time.
        interrupted: Whether to stop; called before each call of `scores_from`.
    """
    of_batches: list[Float[np.ndarray, "3 sequence_len"]] = []
    while len(of_batches) < num_batches:
        if interrupted():
            return None
        of_batches.extend(scores_from(len(of_batches)).astype(np.float64))
    # One after the other, so that the sum does not depend on how many came at a time.
    loss, correct, kl = reduce(np.add, of_batches) / num_batches
    return ValidationMetrics(float(loss.mean()), float(correct.mean()), float(kl.mean()), correct, kl)


def score_positions(
    logits: Float[Array, "batch sequence_len vocab"],
    targets: Int[Array, "batch sequence_len"],
    truth: Float[Array, "batch sequence_len vocab"],
) -> Float[Array, "3 sequence_len"]:
    """Sampled loss, accuracy and KL divergence at each position, averaged over the batch."""
    scores = (cross_entropy(logits, targets), accuracy(logits, targets), kl_divergence(truth, logits))
    return jnp.stack([score.mean(axis=0) for score in scores])
