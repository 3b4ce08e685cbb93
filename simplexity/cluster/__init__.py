"""What a run needs to know of the machine it runs on: signals, SLURM, containers. Standard library only."""

from ._arrays import ArraySlice as ArraySlice
from ._arrays import array_expression as array_expression
from ._arrays import split_into_arrays as split_into_arrays
from ._batch_script import LOG_FOLDER as LOG_FOLDER
from ._batch_script import batch_script as batch_script
from ._compilation_cache import CompilationCache as CompilationCache
from ._compilation_cache import default_cache_folder as default_cache_folder
from ._preemption import PREEMPTION_SIGNALS as PREEMPTION_SIGNALS
from ._preemption import PreemptionGuard as PreemptionGuard
from ._profile import ClusterProfile as ClusterProfile
from ._profile import Container as Container
from ._slurm import AccountedTask as AccountedTask
from ._slurm import QueuedTask as QueuedTask
from ._slurm import SlurmError as SlurmError
from ._slurm import accounted_tasks as accounted_tasks
from ._slurm import cancel as cancel
from ._slurm import cluster_configuration as cluster_configuration
from ._slurm import partitions as partitions
from ._slurm import queued_tasks as queued_tasks
from ._slurm import slurm_is_installed as slurm_is_installed
from ._slurm import submit as submit
from ._submission_environment import submission_environment as submission_environment
