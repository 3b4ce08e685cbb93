"""What a batch script has for workers, of which each of its array tasks has one, or several on each GPU."""

import shlex
from collections.abc import Sequence
from importlib import resources

from ._profile import ClusterProfile

# As XLA does for one process that has a GPU to itself, it leaves a tenth of the memory to others.
_GPU_MEMORY = 0.9


def gpu_memory_share(num_processes: int) -> dict[str, str]:
    """The variables that give a process its share of a GPU's memory, of which it would take nearly all.

    Args:
        num_processes: How many processes share the GPU.
    """
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{_GPU_MEMORY / num_processes:.3f}"} if num_processes > 1 else {}


def worker_names(name: str, num_tasks: int, profile: ClusterProfile) -> list[str]:
    """What the shell calls the files of an array task's workers, and the arguments of their command.

    Args:
        name: That of the submission, which begins the names of its workers.
        num_tasks: Array tasks of the submission.
        profile: Says how many workers each of them has.
    """
    name, each = shlex.quote(name), profile.workers_per_task
    place = f"--place {name}/$SLURM_ARRAY_TASK_ID/{num_tasks}"
    task = f'{place} "$SWEEP"' if each == 1 else f'{name} {each * num_tasks} {profile.tasks_per_gpu} "$SWEEP"'
    return [
        f'readonly LOG="$SWEEP/logs/"{name}_$SLURM_ARRAY_TASK_ID TASK=({task})',
        f"for ((i = SLURM_ARRAY_TASK_ID * {each}; i < (SLURM_ARRAY_TASK_ID + 1) * {each}; i++)); do",
        f'  RECORDS+=("$SWEEP/sweep/workers/"{name}_$i.jsonl)',
        "done",
        _text("worker_crashed.sh"),
        *([_text("worker_tasks.sh")] if each > 1 else []),
    ]


def worker_command(task_command: Sequence[str], profile: ClusterProfile) -> str:
    """What srun executes in each of its tasks, as a text of the shell, with the variables of `worker_names`."""
    command = shlex.join(task_command)
    if profile.workers_per_task == 1:
        return f'{command} "${{TASK[@]}}"'
    return f'bash -c "$(declare -f start_worker); start_worker \\"\\$@\\"" start_worker "${{TASK[@]}}" {command}'


def _text(name: str) -> str:
    return resources.files("simplexity.cluster").joinpath(name).read_text(encoding="utf-8")
