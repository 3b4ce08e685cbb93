"""How good a model's predictions are: per-token losses, and validation against the process's own distribution."""

from ._losses import accuracy as accuracy
from ._losses import cross_entropy as cross_entropy
from ._losses import kl_divergence as kl_divergence
from ._validation import Validation as Validation
from ._validation import ValidationMetrics as ValidationMetrics
from ._validation import ValidationSettings as ValidationSettings
