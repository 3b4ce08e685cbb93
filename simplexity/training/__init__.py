"""Training: one state, one compiled program that trains it, the host's loop around the program, and validation."""

from ._data_parallel import DataParallel as DataParallel
from ._data_parallel import configure_cpu_devices as configure_cpu_devices
from ._data_parallel import num_cpu_devices as num_cpu_devices
from ._data_parallel import share_among_cpu_devices as share_among_cpu_devices
from ._fit import fit as fit
from ._loop import NotFiniteError as NotFiniteError
from ._loop import TrainResult as TrainResult
from ._loop import train as train
from ._metrics import Optima as Optima
from ._metrics import RunMetrics as RunMetrics
from ._protocols import Checkpointer as Checkpointer
from ._protocols import Preemption as Preemption
from ._protocols import StepObserver as StepObserver
from ._settings import TrainingSettings as TrainingSettings
from ._settings import ValidationSettings as ValidationSettings
from ._state import RunKeys as RunKeys
from ._state import TrainState as TrainState
from ._state import check_sequences as check_sequences
from ._state import initial_train_state as initial_train_state
from ._state import run_keys as run_keys
from ._step import StepArguments as StepArguments
from ._step import TrainSteps as TrainSteps
from ._step import make_optimizer as make_optimizer
from ._step import make_train_steps as make_train_steps
from ._validation import Validation as Validation
from ._validation import make_score as make_score
