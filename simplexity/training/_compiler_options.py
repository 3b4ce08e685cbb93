"""XLA's options for programs that take training steps, and whether this version of XLA knows an option."""

import logging
from functools import cache

import jax

_log = logging.getLogger("simplexity")

# XLA's CPU compiler does not do these by default: sums by its kernel library, wider vectors, and an analysis that
# avoids copies of the loop's state. With them, and with products by the same library, a step takes 0.8 times as long.
# Processors with narrower vectors ignore the width.
_CPU_OPTIONS: dict[str, bool | int | str] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    "xla_cpu_prefer_vector_width": 512,
    "xla_cpu_copy_insertion_use_region_analysis": True,
}
_PRODUCTS_BY_LIBRARY = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}
# How XLA's errors begin where a version has no such option, or the option has no such value.
_UNKNOWN = ("INVALID_ARGUMENT: No such compile option", "INVALID_ARGUMENT: While setting option")


@cache
def compiler_options(products_by_library: bool, /) -> dict[str, bool | int | str]:
    """The options for programs that take training steps; none, with a warning, if this JAX's compiler lacks any.

    Experimental ones are renamed and removed from version to version.

    Args:
        products_by_library: Whether a CPU is to multiply by XLA's kernel library: see `PredictiveModel`.
    """
    if jax.default_backend() != "cpu":
        return {}
    options = _CPU_OPTIONS | (_PRODUCTS_BY_LIBRARY if products_by_library else {})
    if (error := unknown_option(options)) is not None:
        _log.warning("jax %s: %s; training uses XLA's default options, which are slower", jax.__version__, error)
        return {}
    return options


def unknown_option(options: dict[str, bool | int | str]) -> str | None:
    """XLA's error if it does not know one of the options, or its value; None if it knows them all.

    The answer depends on nothing but the installed version, and so the names of saved programs, which depend on the
    version, do not have to depend on the answer.

    Raises:
        jax.errors.JaxRuntimeError: If the compiler fails for another reason, such as memory. If that counted as an
            answer, the run would compute other last bits than the same run does elsewhere.
    """
    try:
        jax.jit(lambda: 0.0).lower().compile(dict(options))  # pyright: ignore[reportArgumentType]
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith(_UNKNOWN):
            raise
        return str(error)
    return None
