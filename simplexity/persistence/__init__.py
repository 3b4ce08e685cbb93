"""Checkpoints, written by Orbax, verified byte for byte, kept and restored; and snapshots of the weights alone.

Orbax's format is used, through its `Checkpointer`, so that any Orbax can read these checkpoints. When to save, what to
keep and how to commit is decided here, because `CheckpointManager` and its policies (tried with version 0.12.8) do not
give what a preempted run relies on:

- It has no checksums: one flipped byte in an array's file came back as other numbers, without an error.
- It commits by a rename, but calls no fsync around it: a power failure may lose a checkpoint after an older one was
  deleted in its favour. By default it deletes in place, so that a kill can leave half a checkpoint.
- It decides what to delete when a save begins. After a save that failed, the folder of the step that it would have
  deleted stayed for good, and was missing from its list of steps; the temporary folder stayed too.
- There is no hook before it deletes. A process that was frozen while another took over its run would delete
  checkpoints of that run when it wakes up.
- Its save policies take exact multiples of steps, which a chunk of steps passes over, or the wall clock, which may be
  set back. A custom policy would be the same code as `_save_policy`.
- An asynchronous save of 0.35 MB blocks training for 13 to 15 ms with it, and for 0.8 ms with `OrbaxCheckpointer`
  (medians of 12 on two busy Xeon cores). In the background ours takes longer, 160 to 170 ms instead of 120 to 140,
  because of the checksums and the fsync calls.
"""

from ._final_state import final_state_step as final_state_step
from ._final_state import read_final_state as read_final_state
from ._final_state import write_final_state as write_final_state
from ._leaves import copy_to_host as copy_to_host
from ._leaves import fill as fill
from ._orbax_checkpointer import OrbaxCheckpointer as OrbaxCheckpointer
from ._orbax_checkpointer import load_orbax as load_orbax
from ._saved_models import check_saved_model as check_saved_model
from ._saved_models import newest_saved_step as newest_saved_step
from ._saved_models import read_model as read_model
from ._saved_models import saved_model_digest as saved_model_digest
from ._saved_models import saved_step as saved_step
from ._saved_models import saved_steps as saved_steps
from ._snapshot_schedule import SnapshotSchedule as SnapshotSchedule
from ._snapshots import SnapshotWriter as SnapshotWriter
from ._snapshots import snapshot_path as snapshot_path
from ._snapshots import snapshot_steps as snapshot_steps
from ._weights_file import write_weights as write_weights
