"""A user's own analyses: functions of a model, its process and the process's words, whose results are numbers."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from simplexity.generative_processes import GenerativeProcess
from simplexity.predictive_models import PredictiveModel

from ._words import Words


@runtime_checkable
class AnalysisFunction(Protocol):
    """A function that measures something of a trained model."""

    def __call__(self, *, model: PredictiveModel, process: GenerativeProcess, words: Words) -> Mapping[str, Any]:
        """Measures.

        Args:
            model: The trained model.
            process: The process that it was trained on.
            words: The words of that process, as the model meets them: `word_activations(model, words)` are what the
                model computes after each of them.

        Returns:
            Numbers, or lists of numbers, by name.
        """
        ...


def plain_results(results: Any) -> dict[str, float | list[float]]:
    """What a function has returned, as JSON can say it.

    Raises:
        TypeError: If it is not a mapping from names to numbers, or to lists of numbers.
    """
    if not isinstance(results, Mapping):
        raise TypeError(f"must return a mapping from names to numbers, got a {type(results).__name__}")
    plain: dict[str, float | list[float]] = {}
    for name, value in results.items():
        array = np.asarray(value)
        if not isinstance(name, str) or array.dtype.kind not in "biuf" or array.ndim > 1:
            rule = "must return a mapping from names to numbers, or to lists of numbers"
            raise TypeError(f"{rule}, got {value!r:.60} under {name!r}")
        plain[name] = array.tolist()
    return plain
