"""What a process needs to know of its machine: signals, cores, memory, GPUs, programs. Standard library only."""

from ._compilation_cache import CompilationCache as CompilationCache
from ._compilation_cache import default_cache_folder as default_cache_folder
from ._memory import collect_garbage_less_often as collect_garbage_less_often
from ._memory import usable_memory_bytes as usable_memory_bytes
from ._preemption import PreemptionGuard as PreemptionGuard
from ._processors import check_num_cpu_devices as check_num_cpu_devices
from ._processors import configure_accelerator as configure_accelerator
from ._processors import jax_has_cuda as jax_has_cuda
from ._processors import num_usable_cores as num_usable_cores
from ._streams import discard as discard
from ._streams import open_missing_streams as open_missing_streams
from ._streams import outlive_readers as outlive_readers
from ._streams import take_lost_streams as take_lost_streams
