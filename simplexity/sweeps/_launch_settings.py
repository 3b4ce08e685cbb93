"""How a sweep was launched: what starting its runs again needs to know."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from simplexity.cluster import ClusterProfile, Container
from simplexity.runs import read_file, retry_read, sleep

OnFailure = Literal["continue", "stop"]
PackSize = int | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class LocalLaunch:
    """Workers on one machine.

    Args:
        max_parallel: Runs at the same time; None for one per GPU, or without GPUs for one per `cores_per_run` cores.
        cores_per_run: Cores that each run is pinned to; None for an equal share if `max_parallel` or GPUs say how many
            runs there are, and otherwise for one, the quickest way through many small runs.
        on_failure: Whether the others continue when a run fails, or stop: they save, and `retry` resumes them.
        pack: Runs of one program that a worker trains together; "auto" for one on a CPU and many on a GPU.

    Raises:
        ValueError: If a number is less than 1, or `on_failure` is neither.
    """

    max_parallel: int | None
    cores_per_run: int | None
    on_failure: OnFailure = "continue"
    pack: PackSize = 1
    on_slurm: ClassVar[bool] = False

    def __post_init__(self):
        _check_on_failure(self.on_failure)
        _check_pack(self.pack)
        for name in ("max_parallel", "cores_per_run"):
            _check_count(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class SlurmLaunch:
    """Array jobs.

    Args:
        job_name: What squeue shows.
        profile: The cluster's resources and set-up.
        array_parallelism: Array tasks at the same time in each array job; None for as many as the cluster gives.
        image_digest: Names the image of the profile's container; None without one, or where it could not be read.
        workers: Array tasks that execute the runs, each one run after the other, or several at a time where the profile
            has `tasks_per_gpu`; "auto" for as many as the site's limits and `array_parallelism` allow, and fewer where
            runs are short; None for one task per run.
        on_failure: As in `LocalLaunch`; the others are cancelled, which save.
        pack: As in `LocalLaunch`; where a run has a task of its own, it is alone.

    Raises:
        ValueError: If a number is less than 1, `on_failure` is neither, runs of several processes are to have workers,
            runs without workers are to be trained together or to share a GPU, or those that share one are to stop.
    """

    job_name: str
    profile: ClusterProfile
    array_parallelism: int | None
    image_digest: str | None = None
    workers: int | Literal["auto"] | None = None
    on_failure: OnFailure = "continue"
    pack: PackSize = 1
    on_slurm: ClassVar[bool] = True

    def __post_init__(self):
        _check_on_failure(self.on_failure)
        _check_pack(self.pack)
        _check_count("array_parallelism", self.array_parallelism)
        self._check_tasks_per_gpu()
        if self.workers is None:
            if self.pack not in ("auto", 1):
                raise ValueError(f"`pack` needs workers, which train runs together: set `workers` too, got {self.pack}")
            return
        if self.workers != "auto":
            _check_count("workers", self.workers)
        if self.profile.num_processes > 1:
            raise ValueError("`workers` must be null where a run has several processes, each with a task of its own")

    def _check_tasks_per_gpu(self) -> None:
        number = self.profile.tasks_per_gpu
        if number is None:
            return
        if self.workers is None:
            raise ValueError(
                f"`workers` must be a number or auto with `cluster.tasks_per_gpu`={number}, which is of workers; "
                "cluster.tasks_per_gpu=null gives each run a GPU of its own"
            )
        if self.on_failure == "stop" and self.profile.workers_per_task > 1:
            # SLURM knows only that the whole array task has failed, which is when its last worker has ended.
            raise ValueError(
                f"`on_failure` must be continue with `cluster.tasks_per_gpu`={number}: "
                "workers of one array task do not stop each other"
            )


@dataclass(frozen=True, kw_only=True)
class SubmititLaunch:
    """Jobs of submitit, by Hydra's stock launchers. Starting its runs again is for the command that launched it.

    Args:
        executor: submitit's name of the executor, "slurm" or "local".
    """

    executor: str

    @property
    def on_slurm(self) -> bool:
        """Whether SLURM knows the runs."""
        return self.executor == "slurm"


Launch = LocalLaunch | SlurmLaunch | SubmititLaunch
_KINDS: dict[str, type[Launch]] = {"local": LocalLaunch, "slurm": SlurmLaunch, "submitit": SubmititLaunch}


def stops_on_failure(launch: Launch) -> bool:
    """Whether the first run that fails stops the others."""
    return not isinstance(launch, SubmititLaunch) and launch.on_failure == "stop"


def pack_of(launch: Launch) -> PackSize:
    """How many runs of one program a worker trains together."""
    return 1 if isinstance(launch, SubmititLaunch) else launch.pack


def launch_to_json(launch: Launch) -> dict[str, Any]:
    """The settings as JSON, from which `launch_from_json` makes them again."""
    return {"kind": next(kind for kind, cls in _KINDS.items() if isinstance(launch, cls)), **asdict(launch)}


def launch_from_json(record: dict[str, Any]) -> Launch:
    """The settings of a manifest.

    Raises:
        KeyError: If there is no kind, or no profile.
        TypeError: If a field is missing or unknown.
        ValueError: If a value is out of its range.
    """
    fields = dict(record)
    cls = _KINDS[fields.pop("kind")]
    if cls is SlurmLaunch:
        profile = dict(fields.pop("profile"))
        if profile["container"] is not None:
            profile["container"] = Container(**profile["container"])
        fields["profile"] = ClusterProfile(**profile)
    return cls(**fields)


def private_values(launch: Launch) -> dict[str, dict[str, str]]:
    """The values of a launch's environment variables, which may be tokens; empty if it has none."""
    if not isinstance(launch, SlurmLaunch):
        return {}
    container = launch.profile.container
    values = {"environment": launch.profile.environment, "container_env": container.env if container else {}}
    return {name: dict(variables) for name, variables in values.items() if variables}


def read_private_values(path: Path, wait: Callable[[float], bool] = sleep) -> dict[str, dict[str, str]] | None:
    """What a file holds of `private_values`, in JSON; None if it is another user's, gone or corrupt.

    Args:
        path: The file.
        wait: Sleeps between tries at reading; see `retry_read`.

    Raises:
        UnreadableError: If it cannot be read.
    """

    def read() -> bytes:
        with suppress(PermissionError):
            return read_file(path)
        return b""

    try:
        values = json.loads(retry_read(read, wait))
    except (FileNotFoundError, ValueError):
        return None
    is_whole = isinstance(values, dict) and all(isinstance(variables, dict) for variables in values.values())
    return values if is_whole else None


def with_private_values(launch: Launch, values: Mapping[str, Mapping[str, str]]) -> Launch:
    """The launch with these values of its variables; those of other variables are left out."""
    if not isinstance(launch, SlurmLaunch):
        return launch

    def filled(kind: str, variables: Mapping[str, str]) -> dict[str, str]:
        known = values.get(kind, {})
        return {name: known.get(name, value) for name, value in variables.items()}

    profile = replace(launch.profile, environment=filled("environment", launch.profile.environment))
    if profile.container is not None:
        container = replace(profile.container, env=filled("container_env", profile.container.env))
        profile = replace(profile, container=container)
    return replace(launch, profile=profile)


def without_private_values(launch: Launch) -> Launch:
    """The launch with the names of its variables alone."""
    names = {kind: dict.fromkeys(variables, "") for kind, variables in private_values(launch).items()}
    return with_private_values(launch, names)


def _check_count(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"`{name}` must be at least 1, or null, got {value}")


def _check_pack(value: PackSize) -> None:
    if value != "auto" and (isinstance(value, str) or value < 1):
        raise ValueError(f"`pack` must be at least 1, or auto, got {value}")


def _check_on_failure(value: str) -> None:
    if value not in get_args(OnFailure):
        raise ValueError(f"`on_failure` must be one of {', '.join(get_args(OnFailure))}, got {value}")
