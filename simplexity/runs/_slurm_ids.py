import os
from collections.abc import Mapping
from typing import Any, NamedTuple


class SlurmIds(NamedTuple):
    """Which SLURM job a process belongs to.

    A requeued job, array task or not, keeps its `job_id` and gets a higher `restart_count`.
    """

    job_id: str
    array_job_id: str | None
    array_task_id: str | None
    restart_count: int
    node: str | None
    cluster: str | None

    def is_requeue_of(self, other: "SlurmIds | None") -> bool:
        """Whether this is a later incarnation of the job that `other` names."""
        return (
            other is not None
            and (self.cluster, self.job_id) == (other.cluster, other.job_id)
            and self.restart_count > other.restart_count
        )


def slurm_ids(environment: Mapping[str, str] | None = None) -> SlurmIds | None:
    """The ids in the environment (by default this process's); None outside a SLURM job."""
    values = os.environ if environment is None else environment
    if not (job_id := values.get("SLURM_JOB_ID")):
        return None
    return SlurmIds(
        job_id=job_id,
        array_job_id=values.get("SLURM_ARRAY_JOB_ID"),
        array_task_id=values.get("SLURM_ARRAY_TASK_ID"),
        # SLURM sets it from the first requeue on.
        restart_count=int(values.get("SLURM_RESTART_COUNT") or 0),
        node=values.get("SLURMD_NODENAME"),
        cluster=values.get("SLURM_CLUSTER_NAME"),
    )


def slurm_ids_from_json(record: Mapping[str, Any] | None) -> SlurmIds | None:
    return None if record is None else SlurmIds(**record)
