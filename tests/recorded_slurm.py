"""Answers of real SLURMs of version 22.05.8, as `scontrol`, `sinfo` and `sacctmgr` gave them."""

from pathlib import Path

import pytest

from simplexity.cluster import SlurmAnswers

ANSWERS = Path(__file__).with_name("slurm_answers")
WHOLE = "user_signal"


def _recorded(name: str, **configuration: str) -> SlurmAnswers:
    """Only one recording is kept whole; of the others only what differs from it."""

    def read(file: str) -> str:
        path = ANSWERS / name / file
        return (path if path.exists() else ANSWERS / WHOLE / file).read_text()

    # Of lines that set the same, the last counts.
    settings = [(ANSWERS / WHOLE / "config.txt").read_text(), read("config.txt")]
    settings += [f"{key}={value}" for key, value in configuration.items()]
    qos = ANSWERS / name / "qos.txt"
    return SlurmAnswers.parse(
        "\n".join(settings),
        read("partitions.txt"),
        read("nodes.txt"),
        qos.read_text() if qos.exists() else None,
    )


@pytest.fixture
def recorded():
    """Name of a recording, and settings that are changed -> the answers."""
    return _recorded
