"""What a sweep needs to know of a cluster: the words of its sbatch, and what to set up on a node."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEMORY = re.compile(r"\d+[KMGT]?")
_OPTION = re.compile(r"[a-z][a-z-]*")

# Options that the profile or the batch script sets itself, by the key to use instead (None: not for a profile to set).
_TAKEN_OPTIONS = {
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint", "gres": "gres",
    "gpus-per-node": "gpus_per_node", "cpus-per-task": "cpus_per_task", "mem": "memory", "time": "time_limit_minutes",
    "signal": "signal_lead_s", "nodes": "nodes", "ntasks-per-node": "tasks_per_node", "ntasks": "tasks_per_node",
    "ntasks-per-gpu": "tasks_per_gpu",
    "array": None, "chdir": None, "job-name": None, "open-mode": None, "output": None, "error": None,
    "requeue": None, "no-requeue": None, "parsable": None, "wrap": None,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Container:
    """The image in which every array task runs.

    Args:
        image: Path of the image (a SIF file or a sandbox folder), or its name in the local store of Docker or Podman.
        runtime: Program that runs it.
        binds: Folders to see inside, each as the runtime writes it: SOURCE or SOURCE:DESTINATION[:ro]. The folders of
            the sweep, of the study, of scratch and of compiled programs are seen without it, and with Apptainer $HOME.
        env: Environment variables to set inside; those of the task are seen with Apptainer, and those of the profile.

    Raises:
        ValueError: If a bind or a variable's name is malformed.
    """

    image: str
    runtime: Literal["apptainer", "singularity", "docker", "podman"]
    binds: Sequence[str]
    env: Mapping[str, str]

    def __post_init__(self):
        if not self.image:
            raise ValueError("`image` must be a path or a name; for no container set `container` to null")
        for bind in self.binds:
            if not bind or bind.startswith(":") or bind.count(":") > 2:
                raise ValueError(f"`binds` must hold SOURCE or SOURCE:DESTINATION[:OPTIONS], got {bind!r}")
            if "," in bind or not bind.startswith("/"):
                raise ValueError(f"`binds` must hold absolute paths without commas, got {bind!r}")
        _check_variables("env", self.env)

    @property
    def is_file(self) -> bool:
        """Whether the image is a file or folder, and not a name in a store."""
        return self.runtime in ("apptainer", "singularity")


@dataclass(frozen=True, kw_only=True)
class ClusterProfile:
    """One cluster, as one user sees it.

    Args:
        partition: Where to submit; None leaves it to the cluster's default, as for every other None here.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that a node must have, such as "a100|h100".
        gres: Generic resources per node, such as "gpu:a100:1". Either this or `gpus_per_node`.
        gpus_per_node: GPUs per node.
        cpus_per_task: CPU cores of each task.
        memory: Memory per node in SLURM's words, such as "16G".
        time_limit_minutes: A run that needs longer is saved and requeued when this is nearly over.
        signal_lead_s: How long before the time limit a run gets the signal to save. SLURM may be up to 60 s early.
        nodes: Nodes per run.
        tasks_per_node: Processes per node of a run.
        tasks_per_gpu: Workers of an array task on each of its GPUs, which share the GPU's memory evenly; None for one
            worker that has all GPUs of its array task.
        sbatch_options: Further options by their long names, such as {"exclude": "node7"}; an empty value is a flag.
        setup: Lines of shell that run on the node before the run, such as "module load cuda".
        environment: Environment variables of the run.
        scratch_folder: Folder for large temporary files, on the node or shared.
        cache_folder: Folder for compiled programs, best on a disk that all nodes see.
        container: The image to run in; None runs in the environment that submits.

    Raises:
        ValueError: If a value is out of its range or contradicts another.
    """

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    gres: str | None
    gpus_per_node: int | None
    cpus_per_task: int
    memory: str | None
    time_limit_minutes: int
    signal_lead_s: int
    nodes: int
    tasks_per_node: int
    sbatch_options: Mapping[str, str]
    setup: Sequence[str]
    environment: Mapping[str, str]
    scratch_folder: str | None
    cache_folder: str | None
    container: Container | None
    tasks_per_gpu: int | None = None

    def __post_init__(self):
        for name in ("cpus_per_task", "time_limit_minutes", "nodes", "tasks_per_node"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}")
        # SLURM keeps these seconds in 16 bits.
        if not 1 <= self.signal_lead_s <= 65535:
            raise ValueError(f"`signal_lead_s` must be between 1 and 65535, got {self.signal_lead_s}")
        if self.signal_lead_s >= 60 * self.time_limit_minutes:
            raise ValueError(
                f"`signal_lead_s` must be less than the time limit of {60 * self.time_limit_minutes} s "
                f"(`time_limit_minutes`={self.time_limit_minutes}), got {self.signal_lead_s}"
            )
        if self.gpus_per_node is not None and self.gpus_per_node < 1:
            raise ValueError(f"`gpus_per_node` must be at least 1, or null for none, got {self.gpus_per_node}")
        if self.gres is not None and self.gpus_per_node is not None:
            raise ValueError(f"`gres` ({self.gres}) and `gpus_per_node` ({self.gpus_per_node}) exclude each other")
        self._check_tasks_per_gpu()
        if self.memory is not None and not _MEMORY.fullmatch(self.memory):
            raise ValueError(f"`memory` must be a number with K, M, G or T, such as 16G, got {self.memory!r}")
        for name in ("partition", "account", "qos", "constraint", "gres"):
            _check_word(name, getattr(self, name))
        for name in ("scratch_folder", "cache_folder"):
            folder = getattr(self, name)
            if folder is not None and folder.startswith("~"):
                raise ValueError(f"`{name}` is taken as it is written: put ${{oc.env:HOME}} for ~, got {folder!r}")
        self._check_options()
        _check_variables("environment", self.environment)
        for line in self.setup:
            if "\0" in line:
                raise ValueError(f"`setup` must hold lines of shell, got {line!r}")

    @property
    def num_processes(self) -> int:
        """Processes of each run."""
        return self.nodes * self.tasks_per_node

    @property
    def wants_gpu(self) -> bool:
        """Whether a job asks for GPUs."""
        return self.num_gpus > 0

    @property
    def num_gpus(self) -> int:
        """The GPUs of a job on each of its nodes; 0 for none."""
        if self.gpus_per_node is not None:
            return self.gpus_per_node
        # SLURM knows gpu, gpu:2, gpu:a100 and gpu:a100:2, several of them with commas.
        found = [resource.split(":") for resource in (self.gres or "").split(",")]
        return sum(int(words[-1]) if words[-1].isdecimal() else 1 for words in found if words[0] == "gpu")

    @property
    def workers_per_task(self) -> int:
        """How many workers an array task has, where its tasks are workers."""
        return 1 if self.tasks_per_gpu is None else self.tasks_per_gpu * self.num_gpus

    def _check_tasks_per_gpu(self) -> None:
        if self.tasks_per_gpu is None:
            return
        if self.tasks_per_gpu < 1:
            raise ValueError(f"`tasks_per_gpu` must be at least 1, or null, got {self.tasks_per_gpu}")
        if self.num_gpus == 0:
            raise ValueError(
                "`tasks_per_gpu` is for jobs with a GPU: set `gpus_per_node` or `gres` too, or leave it null"
            )
        if self.num_processes > 1:
            raise ValueError(
                "`tasks_per_gpu` must be null where a run has several processes (`nodes`, `tasks_per_node`)"
            )

    def _check_options(self) -> None:
        for option, value in self.sbatch_options.items():
            if not _OPTION.fullmatch(option):
                raise ValueError(
                    f"`sbatch_options` must be named by sbatch's long names without dashes, got {option!r}"
                )
            if option in _TAKEN_OPTIONS:
                key = _TAKEN_OPTIONS[option]
                remedy = f"set `{key}`" if key else "the launcher sets it"
                raise ValueError(f"`sbatch_options` must not have {option!r}: {remedy}")
            _check_word(f"sbatch_options.{option}", value or None)


def _check_word(name: str, value: str | None) -> None:
    """Refuses what an #SBATCH line could not hold as one word."""
    if value is not None and not re.fullmatch(r"[^\s\"'\\#]+", value):
        raise ValueError(f"`{name}` must be one word without quotes, backslashes or #, or null, got {value!r}")


def _check_variables(name: str, variables: Mapping[str, str]) -> None:
    for variable, value in variables.items():
        if not _NAME.fullmatch(variable):
            raise ValueError(f"`{name}` must have names of environment variables, got {variable!r}")
        if variable.startswith(("SLURM_", "SBATCH_")):
            raise ValueError(f"`{name}` must not set {variable}: SLURM sets it for each task")
        if "\0" in value:
            raise ValueError(f"`{name}.{variable}` must not hold a NUL character")
