"""SLURM and containers: profiles, batch scripts, requeueing, typed calls of SLURM. Standard library only."""

from ._batch_script import LOG_FOLDER as LOG_FOLDER
from ._batch_script import ArraySlice as ArraySlice
from ._batch_script import batch_script as batch_script
from ._batch_script import split_into_arrays as split_into_arrays
from ._batch_script import was_cancelled as was_cancelled
from ._container import container_command as container_command
from ._container import inspect_container as inspect_container
from ._host_programs import is_inside_image as is_inside_image
from ._profile import ClusterProfile as ClusterProfile
from ._profile import Container as Container
from ._slurm import SlurmError as SlurmError
from ._slurm import accounted_tasks as accounted_tasks
from ._slurm import ask_slurm as ask_slurm
from ._slurm import cancel as cancel
from ._slurm import cluster_configuration as cluster_configuration
from ._slurm import queued_tasks as queued_tasks
from ._slurm import send_signal as send_signal
from ._slurm import slurm_is_installed as slurm_is_installed
from ._slurm import submit as submit
from ._slurm import try_submission as try_submission
from ._slurm_answers import SlurmAnswers as SlurmAnswers
from ._slurm_answers import leading_number as leading_number
from ._slurm_answers import parse_duration as parse_duration
from ._slurm_answers import refused_keys as refused_keys
from ._step_tasks import StepTasks as StepTasks
from ._step_tasks import step_tasks as step_tasks
