"""How far back the heads of a transformer look."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from simplexity.predictive_models import PredictiveModel

from ._batches import padded_batches

_PATTERN = "/pattern"


def attention_by_distance(
    model: PredictiveModel,
    tokens: Int[Array | np.ndarray, "batch length"],
    weights: Float[np.ndarray, " batch"] | None = None,
) -> dict[str, Float[np.ndarray, "heads length"]]:
    """The mean attention of each head to the token at each distance before the one that attends.

    Each entry is the mean over all sequences and over all positions that have a token at that distance. The entries of
    a head do not sum to 1: later positions have more tokens to attend to.

    Args:
        model: One with attention patterns among its activations, such as a transformer.
        tokens: Sequences to attend within, such as samples of the process.
        weights: Of the sequences, such as their probabilities where they are all words; None for equal weights.

    Returns:
        By the attention's name (such as "layer_0.attention"), for each head, the attention at distance 0, 1, ...;
        empty for a model without attention.

    Example:
        >>> import jax
        >>> from simplexity.generative_processes import mess3
        >>> from simplexity.predictive_models import Transformer
        >>> model = Transformer(8, 1, 2, 16, "learned", vocab_size=3, sequence_len=10, key=jax.random.key(0))
        >>> tokens, _ = mess3(0.05, 0.85).sample_with_beliefs(4, 10, key=jax.random.key(1))
        >>> attention_by_distance(model, tokens)["layer_0.attention"].shape
        (2, 10)
    """
    shares = np.ones(len(tokens)) if weights is None else np.asarray(weights)
    shares = (shares / shares.sum()).astype(np.float32)
    means: dict[str, Float[np.ndarray, "heads length length"]] = {}
    for inside, batch in padded_batches(tokens):
        # The rows that fill the last batch up have no weight.
        batch_shares = np.pad(shares[inside], (0, len(batch) - len(shares[inside])))
        for name, pattern in _weighted_patterns(model, batch, jnp.asarray(batch_shares)).items():
            means[name] = means.get(name, 0) + np.asarray(pattern, np.float64)
    return {name: _by_distance(pattern) for name, pattern in means.items()}


@eqx.filter_jit
def _weighted_patterns(
    model: PredictiveModel, tokens: Int[Array, "batch length"], weights: Float[Array, " batch"]
) -> dict[str, Float[Array, "heads length length"]]:
    activations = model.forward(tokens)[1]
    return {
        name.removesuffix(_PATTERN): jnp.einsum("b,bhts->hts", weights, values)
        for name, values in activations.items()
        if name.endswith(_PATTERN)
    }


def _by_distance(pattern: Float[np.ndarray, "heads length length"]) -> Float[np.ndarray, "heads length"]:
    distances = range(pattern.shape[-1])
    return np.stack([np.diagonal(pattern, -distance, 1, 2).mean(axis=-1) for distance in distances], axis=-1)
