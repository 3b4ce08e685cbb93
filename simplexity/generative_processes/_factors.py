"""What composites of several factors share: the code of a joint token, the factors' parts of a state, joint tables.

The factors' tokens `x_1 ... x_n` are one token in a mixed-radix code, the first factor the most significant:
`((x_1 V_2 + x_2) V_3 + x_3) ...`, with `V_i` the number of factor i's tokens. Joint states are numbered alike.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._generative_process import States
from ._ghmm import GHMM
from ._hmm import HMM
from ._matrix_process import MatrixProcess

# A walk of the mixed states of more entries than this takes longer than the estimate that replaces it.
_MOST_ENTRIES = 50_000


def split_states(states: States, sizes: Sequence[int]) -> list[States]:
    """The factors' parts of states (*rows, num_states) that hold them one after another."""
    ends = list(accumulate(sizes))
    return [states[..., end - size : end] for size, end in zip(sizes, ends, strict=True)]


def join_states(parts: Sequence[States]) -> States:
    """The factors' states one after another."""
    concatenate = np.concatenate if isinstance(parts[0], np.ndarray) else jnp.concatenate
    return concatenate(parts, axis=-1)  # pyright: ignore[reportCallIssue, reportArgumentType, reportReturnType]


def split_tokens(tokens: States, vocab_sizes: Sequence[int]) -> list[States]:
    """The factors' tokens of joint ones."""
    digits = []
    for size in reversed(vocab_sizes):
        digits.append(tokens % size)
        tokens = tokens // size
    return digits[::-1]


def join_tokens(digits: Sequence[States], vocab_sizes: Sequence[int]) -> States:
    """The joint tokens of the factors' tokens."""
    return reduce(lambda code, pair: code * pair[1] + pair[0], zip(digits[1:], vocab_sizes[1:], strict=True), digits[0])


def outer_product(parts: Sequence[States]) -> States:
    """The products of all combinations of entries, (*rows, product of the parts' lengths)."""

    def multiply(left: States, right: States) -> States:
        return (left[..., :, None] * right[..., None, :]).reshape(*left.shape[:-1], -1)

    return reduce(multiply, parts)


def joint_matrices(
    factors: Sequence[tuple[Float[np.ndarray, "_ _ _"], np.ndarray]],
    initial_states: Sequence[Float[np.ndarray, " _"]],
    normalizers: Sequence[Float[np.ndarray, " _"]],
) -> MatrixProcess | None:
    """The process whose joint token `x` applies to each factor the matrix of its label: their Kronecker product.

    Args:
        factors: Each factor's matrices, and the label of its matrix for each joint token.
        initial_states: The factors' own.
        normalizers: The factors' own.

    Returns:
        An HMM if all matrices are those of HMMs, else a GHMM; None if the tables would be large.
    """
    vocab_size, num_states = len(factors[0][1]), int(np.prod([len(state) for state in initial_states]))
    if vocab_size * num_states**2 > _MOST_ENTRIES:
        return None
    joint = np.ones((vocab_size, 1, 1))
    for matrices, labels in factors:
        joint = np.einsum("xij,xkl->xikjl", joint, matrices[labels]).reshape(
            vocab_size, joint.shape[1] * matrices.shape[1], -1
        )
    state, normalizer = reduce(np.kron, initial_states), reduce(np.kron, normalizers)
    if (joint >= 0).all() and (state >= 0).all() and (normalizer == 1).all():
        return HMM(joint, state)
    return GHMM(joint, state, normalizer)
