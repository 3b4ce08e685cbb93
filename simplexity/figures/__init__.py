"""The pictures of a process, of a run and of a sweep, without the model and without JAX.

Importing this imports matplotlib, which takes longer than most commands.
"""

import logging

# The first import on a machine builds a cache of fonts, and would say so in the run's log.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

from ._process import draw_process as draw_process  # noqa: E402
from ._run_figures import draw_run as draw_run  # noqa: E402
from ._sweep_figures import draw_sweep as draw_sweep  # noqa: E402
