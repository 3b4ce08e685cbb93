"""Where a run's metrics go: the console, a file, MLflow, Weights & Biases, TensorBoard, or several of these."""

from ._console_logger import ConsoleLogger as ConsoleLogger
from ._file_logger import FileLogger as FileLogger
from ._logger import CompositeLogger as CompositeLogger
from ._logger import Logger as Logger
from ._logger import Metrics as Metrics
from ._logger import RunFacts as RunFacts
from ._mlflow_logger import MLflowLogger as MLflowLogger
from ._print_logger import Output as Output
from ._print_logger import PrintLogger as PrintLogger
from ._tensorboard_logger import TensorBoardLogger as TensorBoardLogger
from ._wandb_logger import WandbLogger as WandbLogger
