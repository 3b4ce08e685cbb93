"""Domains of numbers whose constructors do not check them: optax takes any learning rate, jax any seed."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Domain(NamedTuple):
    """Where a number must lie, as a test and in words."""

    contains: Callable[[float], bool]
    rule: str


_POSITIVE = Domain(lambda value: 0 < value < math.inf, "must be positive and finite")
_NOT_NEGATIVE = Domain(lambda value: 0 <= value < math.inf, "must be at least 0 and finite")
_DECAY_RATE = Domain(lambda value: 0 <= value < 1, "must lie in [0, 1)")

_BY_PATH: Mapping[str, Domain] = {
    # jax keeps 32 bits of a seed: larger ones would repeat the runs of smaller ones.
    "seed": Domain(lambda value: 0 <= value < 2**32, "must lie in [0, 4294967295]"),
    "predictive_model.load_checkpoint_step": _NOT_NEGATIVE,
}
_OF_OPTAX: Mapping[str, Domain] = {
    "learning_rate": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    "eps": _NOT_NEGATIVE,
    "b1": _DECAY_RATE,
    "b2": _DECAY_RATE,
    "momentum": _DECAY_RATE,
    # Of schedules, which are factors of the learning rate.
    "init_value": _NOT_NEGATIVE,
    "peak_value": _NOT_NEGATIVE,
    "end_value": _NOT_NEGATIVE,
    "alpha": _NOT_NEGATIVE,
    "warmup_steps": _NOT_NEGATIVE,
    "decay_steps": _POSITIVE,
}


def broken_rule(path: str, value: Any) -> str | None:
    """The rule that a number at `path` of the config breaks, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    domain = _BY_PATH.get(path)
    if domain is None and path.startswith(("training.optimizer.", "training.schedule.")):
        domain = _OF_OPTAX.get(path.rpartition(".")[2])
    if domain is None or domain.contains(value):
        return None
    return f"{domain.rule}, got {value}"
