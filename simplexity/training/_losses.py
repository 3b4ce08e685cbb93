"""Losses and scores of next-token logits, per token, in nats."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(logits: Float[Array, "*batch vocab"], targets: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The surprise at each target, -log q(target), in nats.

    Args:
        logits: Unnormalised log-probabilities q of the next token.
        targets: The true next tokens, in [0, vocab).

    Returns:
        One loss per target.
    """
    # An indexed look-up would have a scatter as its gradient, which XLA runs one element at a time on a CPU.
    is_target = jax.nn.one_hot(targets, logits.shape[-1], dtype=bool)
    chosen = jnp.sum(logits, axis=-1, where=is_target)
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def accuracy(logits: Float[Array, "*batch vocab"], targets: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """1.0 where the likeliest token by the logits is the target, else 0.0."""
    return (jnp.argmax(logits, axis=-1) == targets).astype(jnp.float32)


def kl_divergence(
    probabilities: Float[Array, "*batch vocab"], logits: Float[Array, "*batch vocab"]
) -> Float[Array, "*batch"]:
    """D(p || q) = sum_x p(x) (log p(x) - log q(x)) in nats, with 0 log 0 = 0.

    It is the expected excess of the cross-entropy over the best possible one, without the noise of sampled labels.

    Args:
        probabilities: The true distribution p of the next token.
        logits: Unnormalised log-probabilities q of the next token.

    Returns:
        One divergence per prediction, non-negative up to rounding.
    """
    log_q = jax.nn.log_softmax(logits, axis=-1)
    log_p = jnp.log(jnp.where(probabilities > 0, probabilities, 1.0))
    return jnp.sum(probabilities * jnp.where(probabilities > 0, log_p - log_q, 0.0), axis=-1)
