"""Which parameters of a model are weight matrices: for an optimizer's weight decay, and for Muon."""

from collections.abc import Callable
from typing import Any

import jax
import optax.contrib
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
        lambda path, leaf: _is_weight(jax.tree_util.keystr(path), leaf), parameters
    )


def hidden_matrices() -> Callable[[PyTree[Array]], PyTree[optax.contrib.MuonDimensionNumbers | None]]:
    """Tells `optax.contrib.muon` to orthogonalise the updates of weight matrices within the model alone.

    It is `muon_weight_dimension_numbers`. Adam trains all others, as Muon's author advises: vectors, embeddings, and
    the weight of the head, which makes logits.

    Returns:
        A function from the parameters to the same tree, with None for each that Adam trains.

    References:
        https://kellerjordan.github.io/posts/muon

    Example:
        >>> import jax.numpy as jnp
        >>> chosen = hidden_matrices()({"head": {"weight": jnp.ones((3, 2))}, "inner": {"weight": jnp.ones((2, 2))}})
        >>> chosen["head"]["weight"] is None, chosen["inner"]["weight"] is None
        (True, False)
    """

    def of_leaf(path: Any, leaf: Array) -> optax.contrib.MuonDimensionNumbers | None:
        name = jax.tree_util.keystr(path)
        is_head = any(getattr(key, "name", getattr(key, "key", None)) == "head" for key in path)
        is_hidden = _is_weight(name, leaf) and leaf.ndim == 2 and not is_head
        return optax.contrib.MuonDimensionNumbers() if is_hidden else None

    return lambda parameters: jax.tree_util.tree_map_with_path(of_leaf, parameters)


def _is_weight(name: str, leaf: Array) -> bool:
    return leaf.ndim > 1 and not any(part in name for part in _NO_WEIGHTS)
