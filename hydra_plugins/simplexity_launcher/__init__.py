"""Hydra's launchers: a sweep by workers on this machine, and as SLURM array jobs. Both prepare it in the same way."""

from ._hydra_internals import returned as returned
