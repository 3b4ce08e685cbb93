"""How many jobs a user may still submit: the limits of the cluster, of the association and of the QOS."""

import getpass
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ._arrays import DEFAULT_MAX_ARRAY_SIZE
from ._profile import ClusterProfile
from ._slurm import SlurmError, ask, cluster_configuration

# The name of the limit, which newer versions of sbatch print before words that are the same for every limit.
_LIMIT_NAME = re.compile(r"\b(?:Assoc|QOS)\w*Limit\b", re.IGNORECASE)
# What else sbatch says where a limit on the number of submitted jobs is exceeded, whosever limit it is.
_TOO_MANY = ("job submit limit", "submit limit", "job array specification")
_ASSOCIATION = ("Account", "Partition", "DefaultQOS", "MaxSubmit", "GrpSubmit")
_QOS = ("MaxSubmitPU", "MaxSubmitPA", "GrpSubmit")


class SubmissionLimits(NamedTuple):
    """What one submission may ask for.

    Attributes:
        max_array_size: The cluster's MaxArraySize, one more than the largest task id.
        max_jobs: Tasks that the user may still submit; None if there is no limit, or it could not be read.
    """

    max_array_size: int = DEFAULT_MAX_ARRAY_SIZE
    max_jobs: int | None = None

    @property
    def max_tasks(self) -> int:
        """Tasks that one array job may have now; at least 1."""
        allowed = self.max_array_size if self.max_jobs is None else min(self.max_array_size, self.max_jobs)
        return max(1, allowed)


def submission_limits(profile: ClusterProfile) -> SubmissionLimits:
    """What SLURM says of the limits that a submission meets. What cannot be read is left to sbatch, which refuses.

    Args:
        profile: Its account, partition and QOS say which limits hold.
    """
    size = DEFAULT_MAX_ARRAY_SIZE
    with suppress(SlurmError):
        size = int(cluster_configuration().get("MaxArraySize", size))
    with suppress(SlurmError):
        user = getpass.getuser()
        form = f"format={','.join(_ASSOCIATION)}"
        rows = _table(["show", "assoc", "where", f"user={user}", form], _ASSOCIATION)
        rows = [row for row in rows if profile.account is None or row["Account"] == profile.account]
        rows = [row for row in rows if row["Partition"] in ("", profile.partition)]
        limits = [row[name] for row in rows for name in ("MaxSubmit", "GrpSubmit")]
        names = {profile.qos} if profile.qos is not None else {row["DefaultQOS"] for row in rows}
        for name in sorted(filter(None, names)):
            found = _table(["show", "qos", "where", f"name={name}", f"format={','.join(_QOS)}"], _QOS)
            limits += [value for row in found for value in row.values()]
        numbers = [int(value) for value in limits if value.isdecimal()]
        if numbers:
            submitted = ask(["squeue", "--noheader", "--array", f"--user={user}", "--format=%i"])
            return SubmissionLimits(size, max(0, min(numbers) - len(submitted.split())))
    return SubmissionLimits(size)


def is_submit_limit(error: SlurmError) -> bool:
    """Whether SLURM has refused a submission because it has too many tasks."""
    text = str(error).lower()
    names = _LIMIT_NAME.findall(text)
    return any("submit" in name for name in names) if names else any(words in text for words in _TOO_MANY)


def _table(arguments: Sequence[str], columns: Sequence[str]) -> list[dict[str, str]]:
    answer = ask(["sacctmgr", "--noheader", "--parsable2", *arguments])
    return [dict(zip(columns, line.split("|"), strict=False)) for line in answer.splitlines()]
