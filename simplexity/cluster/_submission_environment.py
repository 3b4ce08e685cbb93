"""The environment of SLURM's commands, rid of what would silently change what they do."""

import os
from collections.abc import Mapping

_PREFIXES = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")
_KEPT = frozenset({"SLURM_CONF", "SLURM_JWT"})  # which cluster, and who is asking


def submission_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables (by default this process's) with which to call sbatch, squeue, sacct, scancel and scontrol.

    A job's own SLURM_* and SBATCH_* variables are options to an sbatch inside it, and SBATCH_* outrank the #SBATCH
    lines of a script everywhere: what a sweep asks for stands in its profile alone. SQUEUE_* and the like change the
    format, or filter what is shown.
    """
    source = os.environ if variables is None else variables
    return {name: value for name, value in source.items() if name in _KEPT or not name.startswith(_PREFIXES)}
