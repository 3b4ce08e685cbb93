"""From a config to a run: composition, checking, freezing. The only package that imports Hydra and OmegaConf."""

from ._check import check as check
from ._cluster_plan import ClusterPlan as ClusterPlan
from ._cluster_plan import plan_for_cluster as plan_for_cluster
from ._cluster_plan import read_profile as read_profile
from ._compose import compose as compose
from ._entrypoint import entrypoint as entrypoint
from ._execute import execute as execute
from ._frozen import Difference as Difference
from ._frozen import config_hash as config_hash
from ._frozen import differences as differences
from ._frozen import freeze as freeze
from ._frozen import load_frozen as load_frozen
from ._frozen import may_change as may_change
from ._frozen import refuse_changes as refuse_changes
from ._log_file import LogFile as LogFile
from ._outcome import RunResult as RunResult
from ._outcome import leave_process as leave_process
from ._overrides import rewrite as rewrite
from ._overrides import rewrite_keys as rewrite_keys
from ._problems import ConfigError as ConfigError
from ._problems import Problem as Problem
from ._problems import blaming as blaming
from ._problems import say_error as say_error
from ._processes import in_all_tasks as in_all_tasks
from ._start import StartCheck as StartCheck
