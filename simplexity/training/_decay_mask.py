"""Which parameters of a model an optimizer's weight decay shrinks."""

from collections.abc import Callable

import jax
from jaxtyping import Array, PyTree

# Parts of the names of fields whose matrices are no weights.
_NO_WEIGHTS = ("embedding", "position", "norm", "bias", "rates")


def weights_only() -> Callable[[PyTree[Array]], PyTree[bool]]:
    """A mask for an optimizer's weight decay: of weight matrices alone, and not of biases, norms and embeddings.

    It is `mask` of `optax.adamw` and `weight_decay_mask` of `optax.contrib.muon`. A parameter is a weight if it has two
    axes or more, and no field on the way to it is named for an embedding, positions, a norm, a bias, or the rates of a
    state-space model. So vectors are never decayed, such as biases and the scales of norms. The input weights of a
    recurrent layer that reads one-hot tokens count as weights.

    Returns:
        A function from the parameters to the same tree with true for each that decays.

    Example:
        >>> import jax.numpy as jnp
        >>> weights_only()({"embedding": jnp.ones((3, 2)), "inner": {"weight": jnp.ones((2, 2)), "bias": jnp.ones(2)}})
        {'embedding': False, 'inner': {'bias': False, 'weight': True}}
    """
    return lambda parameters: jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.ndim > 1 and not any(part in jax.tree_util.keystr(path) for part in _NO_WEIGHTS),
        parameters,
    )
