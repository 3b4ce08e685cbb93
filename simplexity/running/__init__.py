"""From a frozen config to a finished run: building it, attempting it, in one process or several."""

import typing

from ._entrypoint import entrypoint as entrypoint
from ._failures import LogFile as LogFile
from ._outcome import exit_process as exit_process
from ._reopen import analyze_run as analyze_run
from ._reopen import reopen as reopen
from ._reopen import restore_belief_states as restore_belief_states
from ._resume import run_frozen as run_frozen
from ._start import check_by_building as check_by_building
from ._sweep_worker import work as work
from ._unreadable import start_once_more as start_once_more

if typing.TYPE_CHECKING:
    # It comes with JAX, which finding a mistake in a config does not wait for.
    from ._build import Experiment as Experiment
