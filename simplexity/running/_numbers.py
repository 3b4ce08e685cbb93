"""The numbers of a section of the config that are arguments of compiled programs: a sweep over them compiles once.

A number in the config, such as the learning rate, would otherwise be a constant of the program, and each of its values
another program. A constant and an argument differ in the last bits of what is computed, so it is one in every run.
"""

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float
from omegaconf import DictConfig, OmegaConf

from ._kept_programs import kept_answer

Numbers = dict[str, Float[Array, ""]]


class TracedNumbers(NamedTuple):
    """The numbers of a section that may be traced, by their keys, and the section's text without their values.

    Sections of equal texts, given equal numbers, construct the same.
    """

    values: Numbers
    remaining_text: str


def traced_numbers(
    section: DictConfig | None, use: Callable[[Numbers], Any], context: Hashable = None
) -> TracedNumbers:
    """Finds the numbers of a section that may be traced.

    Which may be is tried out: a constructor that asks "if rate > 0" needs a constant.

    Args:
        section: A section with a `_target_`, or None.
        use: Constructs what it names with these numbers in place of its own, and uses that as a program does.
        context: All else that `use` depends on. What was found for equal sections in equal contexts is not tried again.
    """
    values: Any = {} if section is None else OmegaConf.to_container(section, resolve=True)
    numbers = {
        # Unlike jnp.asarray it compiles nothing, and keeps the number's weak type all the same.
        name: jax.device_put(float(value))
        for name, value in values.items()
        # "1" is as good a learning rate as "1.0"; other whole numbers may be counts.
        if isinstance(value, float) or (name == "learning_rate" and isinstance(value, int))
    }

    def may_be_traced(candidates: Numbers) -> bool:
        try:
            jax.eval_shape(use, candidates)
        except Exception:  # whatever a constructor makes of a number without a value
            return False
        return True

    others = {name: value for name, value in values.items() if name not in numbers}
    # Whether all may be traced does not depend on their values, which a traced number does not have.
    key = ("numbers", context, _text(others, numbers))
    if numbers and not kept_answer(key, lambda: may_be_traced(numbers)):
        numbers = {name: number for name, number in numbers.items() if may_be_traced({name: number})}
    remaining = {name: value for name, value in values.items() if name not in numbers}
    return TracedNumbers(numbers, _text(remaining, numbers))


def resolved_text(section: Any) -> str:
    """A section as text, with the values that its references have: as a part of a key."""
    return str(OmegaConf.to_container(section, resolve=True) if OmegaConf.is_config(section) else section)


def _text(values: Mapping[str, Any], numbers: Numbers) -> str:
    return json.dumps([values, sorted(numbers)], sort_keys=True, default=repr)
