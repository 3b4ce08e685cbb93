"""What a model computes after each word of a process, and along how many directions it varies."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int

from simplexity.predictive_models import PredictiveModel

from ._batches import word_batches
from ._words import Words

ALL_LAYERS = "all layers"
_NUM_AT_A_TIME = 2**15


def word_activations(
    model: PredictiveModel, words: Words, *, before_batch: Callable[[], object] = lambda: None
) -> OrderedDict[str, Float[np.ndarray, "words _"]]:
    """The activations of a model at the last token of each word, by name, in the order of computation.

    Those inside of layers (with a slash in their names) are left out.

    Args:
        model: Reads sequences of these words' tokens.
        words: Of the process, with the special tokens that the model was trained with.
        before_batch: Called before each batch of sequences is computed, to raise where that is to end.
    """
    found: OrderedDict[str, Float[np.ndarray, "words _"]] = OrderedDict()
    for batch in word_batches(words):
        before_batch()
        for name, values in _forward(model, batch.sequences).items():
            if name not in found:
                found[name] = np.empty((len(words.rows), values.shape[-1]), dtype=np.float32)
            found[name][batch.words] = np.asarray(values)[batch.rows, batch.positions]
    return found


@eqx.filter_jit
def _forward(
    model: PredictiveModel, sequences: Int[Array, "batch positions"]
) -> Mapping[str, Float[Array, "batch positions _"]]:
    """Not a lambda of each call: one program serves all models of one architecture."""
    activations = model.forward(sequences)[1]
    return OrderedDict((name, values) for name, values in activations.items() if "/" not in name)


def explained_variance(
    values: Float[np.ndarray, "words dimensions"], weights: Float[np.ndarray, " words"]
) -> Float[np.ndarray, " dimensions"]:
    """The shares of the weighted variance of vectors along their principal components, greatest first."""
    total, mean = weights.sum(), values.mean(axis=0, dtype=np.float64)
    if len(values) < values.shape[1]:
        # So few words have no variance along the other components.
        scaled = (values - weights @ values / total) * np.sqrt(weights)[:, None]
        variances = np.pad(np.linalg.svd(scaled, compute_uv=False) ** 2, (0, values.shape[1] - len(values)))
        return variances / max(variances.sum(), np.finfo(np.float64).tiny)
    sums, products = np.zeros(values.shape[1]), np.zeros((values.shape[1],) * 2)
    # A part of the words at a time: a float64 copy of all would take gigabytes.
    for start in range(0, len(values), _NUM_AT_A_TIME):
        centred, part = values[start : start + _NUM_AT_A_TIME] - mean, weights[start : start + _NUM_AT_A_TIME]
        sums += part @ centred
        products += (centred * part[:, None]).T @ centred
    variances = np.linalg.eigvalsh(products - np.outer(sums, sums) / total)[::-1]
    variances = np.maximum(variances, 0.0)
    return variances / max(variances.sum(), np.finfo(np.float64).tiny)
