"""The belief states of the words that a worker's runs are analysed by, and their controls: computed once per process.

The controls take seconds, for a tiny run many times its training, and they do not depend on the model: the runs of a
sweep over seeds, learning rates or models have them in common.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from simplexity.analysis import AnalysisSettings, RegressionProblem
from simplexity.generative_processes import DataGenerator

from ._kept_programs import structure_of, values_of


class Problems(NamedTuple):
    """What the models of a run are regressed on."""

    problem: RegressionProblem
    without_bos: RegressionProblem | None

    @property
    def num_bytes(self) -> int:
        return self.problem.num_bytes + (0 if self.without_bos is None else self.without_bos.num_bytes)


# Those of small processes take some megabytes each. That of a large one may take a gigabyte: it is kept until the next.
# How much a problem takes is known once it was computed: the threads of a pack may ask for many before.
_MOST, _MOST_BYTES = 8, 2**28
_kept: OrderedDict[Hashable, Problems] = OrderedDict()
_lock = threading.Lock()


def problems_of(generator: DataGenerator, settings: AnalysisSettings) -> Problems:
    """The problem of a run, and the one without BOS if the settings ask for it; those of an earlier run if equal.

    Args:
        generator: Of the run's data.
        settings: Of its analysis.

    Raises:
        ValueError: If the sequences have no BOS to leave out.
    """
    values = tuple(array.tobytes() for array in values_of(generator))
    key = structure_of(generator), values, settings.length, settings.max_words, settings.also_without_bos
    with _lock:
        problems = _kept.pop(key, None)
        if problems is None:
            problem = RegressionProblem(generator, settings.length, max_words=settings.max_words)
            problems = Problems(problem, problem.without_bos() if settings.also_without_bos else None)
        _kept[key] = problems
        while len(_kept) > 1 and (len(_kept) > _MOST or sum(each.num_bytes for each in _kept.values()) > _MOST_BYTES):
            _kept.popitem(last=False)
        return problems
