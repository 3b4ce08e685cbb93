"""What a run computes with, built again from its folder by somebody who only wants to look."""

from pathlib import Path
from typing import TYPE_CHECKING

from simplexity.composition import load_frozen, restore_surroundings, with_kept_files
from simplexity.runs import RunDirectory

if TYPE_CHECKING:
    from ._build import Experiment


def reopen(run_dir: Path) -> "Experiment":
    """The objects that the frozen config of a run describes; writes nothing.

    JAX is imported by the call. A config is code: what its `_target_`s name is executed.

    Args:
        run_dir: The run's folder, which may belong to a run that is still going.

    Raises:
        ConfigError: If there is no run in the folder, or its config cannot be built any more.
        UnreadableError: If a file cannot be read.
    """
    from ._build import build

    config = load_frozen(run_dir)
    restore_surroundings(run_dir, environment=False)
    return build(with_kept_files(config, RunDirectory(run_dir)))
