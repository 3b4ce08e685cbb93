"""What a test job runs."""

import time
from dataclasses import dataclass
from pathlib import Path

import simplexity
from simplexity.cluster import ClusterProfile
from simplexity.sweeps import Manifest, SlurmLaunch, SweepRun


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What the test job runs, and for how long.

    Args:
        config_name: The primary config.
        config_text: Its frozen config, whose steps do not end by themselves.
        config_hash: The config's hash.
        num_train_steps: Its number of steps.
        profile: The cluster's profile; the test job asks for less time.
        folder: Absolute path of the folder in which its sweep is made, and removed.
        wait_s: Seconds that it may take, waiting in the queue included.
    """

    config_name: str
    config_text: str
    config_hash: str
    num_train_steps: int
    profile: ClusterProfile
    folder: Path
    wait_s: float

    @property
    def run(self) -> SweepRun:
        """The only run of its sweep."""
        return SweepRun(0, (), self.config_hash, "0", self.num_train_steps)

    def manifest(self, profile: ClusterProfile) -> Manifest:
        """The manifest of its sweep, launched with a profile."""
        return Manifest(
            program="run_experiment",
            config_name=self.config_name,
            created=round(time.time(), 3),
            version=simplexity.__version__,
            working_folder=str(Path.cwd()),
            launch=SlurmLaunch(job_name="simplexity-doctor", profile=profile, array_parallelism=None),
            runs=(self.run,),
        )
