"""Hydra's launchers: a sweep as processes of this machine, and as SLURM array jobs. Both prepare it in the same way."""

from ._hydra_internals import returned as returned
