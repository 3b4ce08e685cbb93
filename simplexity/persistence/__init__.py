"""Checkpoints: written by Orbax, verified byte for byte, kept and restored."""

from ._leaves import copy_to_host as copy_to_host
from ._leaves import fill as fill
from ._orbax_checkpointer import OrbaxCheckpointer as OrbaxCheckpointer
from ._reading import check_weights as check_weights
from ._reading import checkpoint_digest as checkpoint_digest
from ._reading import newest_step as newest_step
from ._reading import restore_weights as restore_weights
from ._step_directories import committed_steps as committed_steps
