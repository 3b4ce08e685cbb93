"""Finds mistakes that no section of a config shows alone, by building the whole without computing anything."""

from omegaconf import DictConfig

from simplexity.composition import ConfigError, Problem


def check_by_building(config: DictConfig) -> list[Problem]:
    """What only sections together get wrong: the model's shapes, the two generators' tokens.

    JAX is imported by the call, and uses the CPU in this process from then on: a GPU, where this machine has one, and
    its memory are for the runs.

    Args:
        config: A config in which `check` found no mistake.
    """
    import jax

    from ._build import build

    jax.config.update("jax_platforms", "cpu")
    try:
        build(config)
    except ConfigError as error:
        return list(error.problems)
    return []
