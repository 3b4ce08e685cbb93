"""Calls the user's own functions of `analysis.functions` or `validation.functions`; one that fails costs no run."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._failures import place

_log = logging.getLogger("simplexity")


class OwnFunctions:
    """Functions that return numbers, or lists of numbers, by name.

    Those of `analysis.functions` take `model` (the trained one), `process` (that it was trained on) and `words` (of
    that process, as the model meets them); those of `validation.functions` take `state` (of the training) and `scores`
    (of the validation).

    Args:
        section: Their place in the config, for messages.
        functions: By the names that the config gives them, with their arguments from the config.
    """

    def __init__(self, section: str, functions: Mapping[str, Callable[..., Any]]):
        self._section, self._functions = section, functions
        self._failed: set[str] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._functions)

    def __call__(
        self, before_each: Callable[[], object] = lambda: None, **arguments: Any
    ) -> tuple[dict[str, dict[str, float | list[float]]], dict[str, str]]:
        """Calls all of them.

        Args:
            before_each: Called first; what it raises is not caught.
            **arguments: What the program supplies.

        Returns:
            What they have returned, and the errors of those that raised one, by name. The first error of each is
            logged as a warning.
        """
        results, errors = {}, {}
        for name, function in self._functions.items():
            before_each()
            try:
                results[name] = _plain(function(**arguments))
            except Exception as error:  # whatever the user's own code raises
                errors[name] = place(error, getattr(function, "func", function))
                if name not in self._failed:
                    self._failed.add(name)
                    _log.warning("%s.%s failed: %s", self._section, name, errors[name])
        return results, errors


def _plain(results: Any) -> dict[str, float | list[float]]:
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
