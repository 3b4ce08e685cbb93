"""The belief states of the words that a worker's runs are analysed by, and their controls: computed once per process.

The controls take seconds, for a tiny run many times its training, and they do not depend on the model: the runs of a
sweep over seeds, learning rates or models have them in common.
"""

import threading
from collections.abc import Hashable
from typing import NamedTuple

import jax
import numpy as np

from simplexity.analysis import AnalysisSettings, RegressionProblem
from simplexity.generative_processes import DataGenerator

from ._kept_programs import structure_of


class Problems(NamedTuple):
    """What the models of a run are regressed on."""

    problem: RegressionProblem
    without_bos: RegressionProblem | None


# The newest alone: a problem of a large process may have a gigabyte of belief states.
_newest: tuple[Hashable, Problems] | None = None
_lock = threading.Lock()


def problems_of(generator: DataGenerator, settings: AnalysisSettings) -> Problems:
    """The problem of a run, and the one without BOS if the settings ask for it; those of the run before if equal.

    Args:
        generator: Of the run's data.
        settings: Of its analysis.

    Raises:
        ValueError: If the sequences have no BOS to leave out.
    """
    global _newest
    values = tuple(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(generator))
    key = structure_of(generator), values, settings.length, settings.max_words, settings.also_without_bos
    with _lock:
        if _newest is None or _newest[0] != key:
            problem = RegressionProblem(generator, settings.length, max_words=settings.max_words)
            _newest = key, Problems(problem, problem.without_bos() if settings.also_without_bos else None)
        return _newest[1]
