"""The entropy rate: what each token of an endless sequence costs the best possible predictor."""

import numpy as np
from jaxtyping import Float

from ._components import Component, components
from ._estimate import Estimate
from ._generative_process import GenerativeProcess
from ._mixed_states import Generator
from ._stationary_walk import stationary_walk

# About a second.
_WORK = 4_000_000


def entropy_rate(process: GenerativeProcess) -> Estimate:
    """The limit of `H(X_1 ... X_L) / L`, in nats, from the process's own initial state.

    The long run of a non-ergodic process is a mixture of ergodic components that never meet. Which one a sequence is in
    costs a finite amount of information, once, so the rate is the mean of the components' rates, weighted by how
    probable they are. What is transient costs a finite amount too, so each component counts with its stationary state.

    A component's rate is

    - closed form where it is unifilar (each hidden state and token lead to one state): `sum_i pi_i H(X | state i)`;
    - for any other HMM bracketed (Cover and Thomas, theorem 4.5.1): `H(X_n | X_1 ... X_{n-1})` from above, and, from
      below, the same with the hidden state before the first token also known, less what the walk forgot by merging. So
      the truth lies within `[value - error, value]`, proven;
    - for a GHMM with negative entries, `H(X_n | X_1 ... X_{n-1})` from its stationary vector: a proven upper bound. Its
      error is an estimate: how much more a walk with a quarter of the vectors gives, plus how much the second half of
      the walk still lowered the value.

    References:
        Cover and Thomas, "Elements of Information Theory", 2nd edition, section 4.5.
        Shannon, "A mathematical theory of communication" (1948), section 7: unifilar sources and their mixtures.
    """
    parts = [(part.weight, _component_rate(part)) for part in components(process, process.stationary_state)]
    return Estimate(
        value=sum(weight * rate.value for weight, rate in parts),
        error=sum(weight * rate.error for weight, rate in parts),
    )


def _component_rate(component: Component) -> Estimate:
    generator, stationary = component.generator, component.state
    if generator.is_hmm and _is_unifilar(generator):
        masses = generator.transition_matrices.sum(axis=2).T
        return Estimate(float(stationary @ _entropies(masses)), 0.0)
    return stationary_walk(generator, stationary, _WORK).rate


def _is_unifilar(generator: Generator) -> bool:
    return bool((np.count_nonzero(generator.transition_matrices, axis=2) <= 1).all())


def _entropies(probabilities: Float[np.ndarray, "n vocab"]) -> Float[np.ndarray, " n"]:
    return -(probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0))).sum(axis=1)
