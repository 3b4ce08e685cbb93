"""Traces a model of the user's own with shapes alone, so that a wrong form is one line and not JAX's traceback."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from simplexity.composition import ConfigError, Problem

from ._failures import place

_FORM = "`forward(tokens)` must return logits of shape (batch, length, vocab) and a dict of activations"
_BATCH = 2


def check_model(
    make_model: Callable[[PRNGKeyArray], Any], constructor: Callable[..., Any], vocab_size: int, sequence_len: int
) -> None:
    """Checks that a model can be made, and that its `forward` returns what training needs.

    Args:
        make_model: Makes the model from a random key.
        constructor: The class or function behind its `_target_`.
        vocab_size: Number of tokens.
        sequence_len: Predictions per sequence.

    Raises:
        ConfigError: If not.
    """
    is_packaged = constructor.__module__.startswith("simplexity.")
    try:
        model = eqx.filter_eval_shape(make_model, key_shape())
    except (ValueError, TypeError):
        # In this form a constructor says what is wrong with its arguments.
        raise
    except Exception as error:
        if is_packaged:
            raise
        raise _problem(f"cannot be made: {place(error, constructor)}") from error
    if is_packaged:
        return
    if not isinstance(model, eqx.Module) or not callable(getattr(model, "forward", None)):
        raise _problem(f"must make an equinox Module with a method `forward`, got {_describe(model)}; {_FORM}")
    tokens = jax.ShapeDtypeStruct((_BATCH, sequence_len), jnp.int32)
    try:
        result = eqx.filter_eval_shape(lambda model, tokens: model.forward(tokens), model, tokens)
    except Exception as error:  # whatever the user's own code raises
        raise _problem(f"fails on tokens of shape {tokens.shape}: {place(error, constructor)}; {_FORM}") from error
    expected = (*tokens.shape, vocab_size)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise _problem(f"{_FORM}, got {_describe(result)}")
    if getattr(result[0], "shape", None) != expected or not jnp.issubdtype(result[0].dtype, jnp.floating):
        message = (
            f"{_FORM}: for tokens of shape {tokens.shape} that is float32{list(expected)}, got {_describe(result[0])}"
        )
        raise _problem(message)


def key_shape() -> jax.ShapeDtypeStruct:
    """What stands for a random key where only shapes count: a key itself takes programs that are compiled or loaded."""
    return jax.eval_shape(lambda: jax.random.key(0))


def _problem(message: str) -> ConfigError:
    return ConfigError([Problem("predictive_model.instance", message)])


def _describe(value: Any) -> str:
    if isinstance(value, jax.ShapeDtypeStruct):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_describe, value))})"
    return f"a {type(value).__name__}"
