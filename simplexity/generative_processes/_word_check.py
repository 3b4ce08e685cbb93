"""Whether matrices of any sign give every short word a probability."""

import numpy as np
from jaxtyping import Float

# Words are prolonged while there are no more than this many of a length (length 12 of two tokens, 7 of three, 6 of
# four), and no further than this length where few words are possible.
_MAX_WORDS = 4096
_MAX_LENGTH = 24
# Words rarer than this, given what precedes them, are not prolonged: rounding would be magnified beyond the tolerance.
_LEAST_PROBABILITY = 1e-7
_TOLERANCE = 1e-8


def check_words(
    transition_matrices: Float[np.ndarray, "vocab from to"],
    initial_state: Float[np.ndarray, " num_states"],
    normalizer: Float[np.ndarray, " num_states"],
) -> None:
    """Raises ValueError, which names the word, if a short word would have a negative probability.

    No finite procedure decides the question for all words; mistakes in a matrix show in the first few tokens.
    """
    emission = transition_matrices @ normalizer
    states = initial_state[None]
    words = np.zeros((1, 0), np.int64)
    while words.shape[1] < _MAX_LENGTH and 0 < len(states) * len(emission) <= _MAX_WORDS:
        probabilities = states @ emission.T
        if probabilities.min() < -_TOLERANCE:
            prefix, token = np.unravel_index(np.argmin(probabilities), probabilities.shape)
            raise ValueError(
                "`transition_matrices` are no process: they give the word "
                f"{[*words[prefix].tolist(), int(token)]} a negative probability "
                f"({probabilities[prefix, token]:.3g} for its last token)"
            )
        prefixes, tokens = np.nonzero(probabilities > _LEAST_PROBABILITY)
        successors = np.einsum("wi,wij->wj", states[prefixes], transition_matrices[tokens])
        states = successors / probabilities[prefixes, tokens][:, None]
        words = np.column_stack([words[prefixes], tokens])
