"""What is regressed beside the whole belief state: each factor's, that of all factors jointly, and the component.

Factors are those of a factored process; components are the ergodic parts of a mixture, of which a sequence has one.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from simplexity.generative_processes import GenerativeProcess, component_posterior

# Numbers in the joint belief states of all words; the regressions hold several times as many, a gigabyte of them.
_MOST_JOINT_ENTRIES = 20_000_000
# A factor's subspace has the directions with this share of the variance that the factor explains.
_EXPLAINED = 0.99


def further_targets(
    process: GenerativeProcess, beliefs: Float[np.ndarray, "words num_states"]
) -> dict[str, Float[np.ndarray, "words _"]]:
    """The further targets of a process, by name; none of a process that is neither factored nor a mixture.

    The joint belief states are left out where they are more than 20 million numbers.

    Args:
        process: The process.
        beliefs: Its belief state after each word; of a factored process those of the factors, one after another.
    """
    factors = process.factor_beliefs(beliefs)
    if len(factors) < 2:
        posterior = component_posterior(process, beliefs)
        return {} if posterior is None else {"components": posterior}
    targets = {f"factor_{index}": belief for index, belief in enumerate(factors)}
    if len(beliefs) * math.prod(belief.shape[1] for belief in factors) <= _MOST_JOINT_ENTRIES:
        targets["joint"] = process.joint_beliefs(beliefs)
    return targets


def factor_overlaps(
    activations: Float[np.ndarray, "words dimensions"],
    factors: Sequence[Float[np.ndarray, "words _"]],
    weights: Float[np.ndarray, " words"],
) -> Float[np.ndarray, "factors factors"]:
    """How much the factors share directions of activation space: 0 for orthogonal subspaces, 1 for one in another.

    The activations are regressed on the belief states of all factors together. A factor's subspace is spanned by the
    directions that have 99 % of the variance which its own belief state adds to the activations. The overlap of two is
    the mean squared cosine of their principal angles.

    Args:
        activations: A row per word.
        factors: The belief states of each factor, a row per word.
        weights: Of the words.

    References:
        Shai et al., Transformers learn factored representations (2026), arXiv:2602.02385: subspaces of factors.
    """
    share = weights / weights.sum()
    centred = [belief - share @ belief for belief in factors]
    beliefs = np.concatenate(centred, axis=1)
    weighted = (beliefs * share[:, None]).T
    # A factor's probabilities add up to one: of the many solutions, the least one.
    maps = np.linalg.pinv(weighted @ beliefs, hermitian=True) @ (weighted @ activations.astype(np.float64))
    ends = np.cumsum([belief.shape[1] for belief in centred])
    own_maps = np.split(maps, ends[:-1])
    bases = [_directions(belief, own, share) for belief, own in zip(centred, own_maps, strict=True)]
    return np.array([[_overlap(one, other) for other in bases] for one in bases])


def _directions(
    belief: Float[np.ndarray, "words states"],
    own_map: Float[np.ndarray, "states dimensions"],
    share: Float[np.ndarray, " words"],
) -> Float[np.ndarray, "directions dimensions"]:
    """Orthonormal directions in which the activations follow a factor's belief state."""
    variances, axes = np.linalg.eigh((belief * share[:, None]).T @ belief)
    scaled = np.sqrt(np.maximum(variances, 0.0))[:, None] * (axes.T @ own_map)
    _, scales, directions = np.linalg.svd(scaled, full_matrices=False)
    explained = np.cumsum(scales**2) / max(float((scales**2).sum()), np.finfo(np.float64).tiny)
    return directions[: 1 + int((explained < _EXPLAINED).sum())]


def _overlap(one: Float[np.ndarray, "m dimensions"], other: Float[np.ndarray, "n dimensions"]) -> float:
    return float(((one @ other.T) ** 2).sum() / min(len(one), len(other)))
