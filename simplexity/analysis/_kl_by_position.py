"""How far a model's predictions are from the process's own, at each position, over all of its words."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int

from simplexity.predictive_models import PredictiveModel

from ._batches import word_batches
from ._words import Words


def kl_by_position(model: PredictiveModel, words: Words) -> Float[np.ndarray, " positions"]:
    """The mean KL divergence of a model's prediction from the process's, after each position of a sequence.

    It is weighted by the words' probabilities, so it has no error of a sample if these are all words.

    Args:
        model: Trained on the process, with the same special tokens.
        words: From `words_of`.

    Returns:
        The divergence `sum_x p(x) log(p(x) / q(x))` in nats, where p is the process's distribution of the next token
        and q the model's. The first entry is of the prediction after the first token that the model reads.

    Example:
        >>> import jax
        >>> import simplexity as sx
        >>> from simplexity.analysis import words_of
        >>> model = sx.models.GRU(8, 1, vocab_size=2, key=jax.random.key(0))
        >>> kl_by_position(model, words_of(sx.processes.coin(0.5), 3)).shape
        (3,)
    """
    divergences = np.empty(len(words.rows))
    for batch in word_batches(words):
        log_q = np.asarray(_log_probabilities(model, batch.sequences))
        log_q = log_q[batch.rows, batch.positions].astype(np.float64)
        p = words.next_token_probabilities[batch.words]
        divergences[batch.words] = (p * (np.log(np.where(p > 0, p, 1.0)) - log_q[:, : p.shape[1]])).sum(axis=1)
    sums = np.bincount(words.positions, words.probabilities * divergences)
    return sums / np.bincount(words.positions, words.probabilities)


@eqx.filter_jit
def _log_probabilities(
    model: PredictiveModel, sequences: Int[Array, "batch positions"]
) -> Float[Array, "batch positions vocab"]:
    return jax.nn.log_softmax(model.forward(sequences)[0], axis=-1)
