"""What a sweep will cost, of what runs in earlier sweeps took."""

from hydra_plugins.simplexity_launcher._programs import RunKind, _timed
from simplexity.runs import EventKind, Ledger
from simplexity.sweeps import SlurmLaunch
from tests.profiles import dev_profile
from tests.sweeps.conftest import sweep_in


def test_every_model_of_a_large_grid_is_found(tmp_path):
    """The choice that changes last has another value in every second run."""
    launch = SlurmLaunch(job_name="sweep", profile=dev_profile(), array_parallelism=None)
    sweep = sweep_in(tmp_path, *[{}] * 96, launch=launch)
    directories = [sweep.run_directory(run) for run in sweep.read_manifest().runs]
    first = directories[0]
    first.mark_complete(4, 0.5)
    Ledger(first.ledger_path).append(EventKind.START, 0)
    for index, directory in enumerate(directories):
        directory.config_path.write_text(("gru", "lstm")[index % 2])
        directory.complete_path.write_bytes(first.complete_path.read_bytes())
        directory.ledger_path.write_bytes(first.ledger_path.read_bytes())
    wanted = {RunKind("gru", 4), RunKind("lstm", 4)}
    assert set(_timed(sweep, launch, wanted)) == wanted
