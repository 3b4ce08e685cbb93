"""The uncertainty about the component of a mixture without matrices after each token, as `_component_choice.py` has it.

It is exact while there are few states that an observer may hold, and then a mean over independently drawn words.
"""

import math
from itertools import islice

import numpy as np
from jaxtyping import Float

from ._component_choice import CONFIDENCE, KNOWN, ChoiceEntropies, bernstein_mean
from ._drawn_words import drawn_states
from ._filtered_entropy import followed
from ._mixture import Mixture
from ._presentation import row_entropies

# Numbers that are computed for the words drawn: a few seconds.
_WORK = 200_000_000
# An even number: the difference between two words shows the variance.
_MOST_WORDS, _FEWEST_WORDS = 20_000, 1_000


def mixture_choice_entropies(process: Mixture, state: Float[np.ndarray, " num_states"], length: int) -> ChoiceEntropies:
    """The entropy of the component, given the process and the tokens so far.

    Args:
        process: The mixture.
        state: What is known before the first token.
        length: The number of tokens.
    """
    states, weights, exact = state[None], np.ones(1), list[float]()
    for states, weights, _ in islice(followed(process, state), length + 1):
        exact.append(float(weights @ row_entropies(process.posterior(states))))
        if exact[-1] <= KNOWN:
            break
    values, errors = np.zeros((2, length + 1))
    values[: len(exact)] = exact
    # No token makes the component less certain on average, and no entropy is negative.
    errors[len(exact) :] = KNOWN
    num_drawn = length + 1 - len(exact)
    if num_drawn == 0 or exact[-1] <= KNOWN:
        return ChoiceEntropies(values, errors)
    work = num_drawn * (process.vocab_size + process.num_states)
    num_words = max(_FEWEST_WORDS, min(_MOST_WORDS, _WORK // work // 2 * 2))
    log_inverse = math.log(3 * num_drawn / (1 - CONFIDENCE))
    drawn = islice(drawn_states(process, states, weights, num_words), num_drawn)
    for position, reached in enumerate(drawn, start=len(exact)):
        entropies = row_entropies(process.posterior(reached))
        values[position], errors[position] = bernstein_mean(entropies, math.log(len(process.components)), log_inverse)
    return ChoiceEntropies(values, errors)
