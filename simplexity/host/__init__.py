"""What a process needs to know of its machine: signals, cores, GPUs, compiled programs. Standard library only."""

from ._accelerator import jax_has_cuda as jax_has_cuda
from ._accelerator import settle_accelerator as settle_accelerator
from ._compilation_cache import CompilationCache as CompilationCache
from ._compilation_cache import default_cache_folder as default_cache_folder
from ._cores import check_num_cpu_devices as check_num_cpu_devices
from ._cores import num_usable_cores as num_usable_cores
from ._preemption import PREEMPTION_SIGNALS as PREEMPTION_SIGNALS
from ._preemption import PreemptionGuard as PreemptionGuard
