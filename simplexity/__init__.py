"""Train small sequence models on exactly known stochastic processes, and look inside them.

    import simplexity as sx

    run = sx.load_run("outputs/2026-11-26/10-00-00")
    print(sx.regress_beliefs(run.model(), run.generator))

Nothing is imported before it is used: the commands that look after sweeps do without JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simplexity import generative_processes as processes
    from simplexity import predictive_models as models
    from simplexity.analysis import regress_beliefs as regress_beliefs
    from simplexity.composition import ConfigError as ConfigError
    from simplexity.experiment import load_run as load_run
    from simplexity.experiment import load_sweep as load_sweep
    from simplexity.training import fit as fit

__version__ = "0.1.0"

__all__ = ["ConfigError", "fit", "load_run", "load_sweep", "models", "processes", "regress_beliefs"]

_MODULES = {"models": "simplexity.predictive_models", "processes": "simplexity.generative_processes"}
_HOMES = {
    "ConfigError": "simplexity.composition",
    "fit": "simplexity.training",
    "load_run": "simplexity.experiment",
    "load_sweep": "simplexity.experiment",
    "regress_beliefs": "simplexity.analysis",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'simplexity' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
