"""One run's directory: its files, ledger, lock and markers.

Standard library only, and quick to import: the commands that look after sweeps read thousands of these directories.
"""

from ._attempts import Attempt as Attempt
from ._attempts import known_reached_step as known_reached_step
from ._attempts import next_start as next_start
from ._attempts import split_attempts as split_attempts
from ._best import ScoredStep as ScoredStep
from ._best import best_saved_step as best_saved_step
from ._best import read_scores as read_scores
from ._best import write_scores as write_scores
from ._directory import BEST_FILE as BEST_FILE
from ._directory import Completion as Completion
from ._directory import RunDirectory as RunDirectory
from ._display import bold as bold
from ._display import error_text as error_text
from ._display import nats_text as nats_text
from ._display import optimum_text as optimum_text
from ._display import red as red
from ._display import wants_colour as wants_colour
from ._environment import environment_changes as environment_changes
from ._environment import environment_record as environment_record
from ._environment import read_environments as read_environments
from ._environment import record_environment as record_environment
from ._events import Event as Event
from ._events import EventKind as EventKind
from ._files import UnreadableError as UnreadableError
from ._files import files_below as files_below
from ._files import folder_problem as folder_problem
from ._files import is_there as is_there
from ._files import move_durably as move_durably
from ._files import reason as reason
from ._files import retry_read as retry_read
from ._files import write_durably as write_durably
from ._goodput import Goodput as Goodput
from ._goodput import RunSummary as RunSummary
from ._goodput import summarize as summarize
from ._job import ExitCode as ExitCode
from ._job import Job as Job
from ._job import this_job as this_job
from ._json_lines import append_json_line as append_json_line
from ._json_lines import open_to_append as open_to_append
from ._json_lines import read_json_lines as read_json_lines
from ._json_lines import renew_json_lines as renew_json_lines
from ._ledger import Ledger as Ledger
from ._ledger import read_ledger as read_ledger
from ._lock import InUseError as InUseError
from ._lock import RunLock as RunLock
from ._lock_files import is_alive as is_alive
from ._lock_files import read_holder as read_holder
from ._origin import DataFile as DataFile
from ._origin import LoadedWeights as LoadedWeights
from ._origin import read_origin as read_origin
from ._origin import write_origin as write_origin
from ._owner import Liveness as Liveness
from ._owner import liveness as liveness
