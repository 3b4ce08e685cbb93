"""Training alone, small and quick, by configs/train_model.yaml."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # A script's own folder comes first on the path, where our packages would hide others of the same name.
    package = Path(__file__).resolve().parent
    sys.path[:] = [str(package.parent) if Path(entry).resolve() == package else entry for entry in sys.path]
    from simplexity.host import PreemptionGuard, collect_garbage_less_often, open_missing_streams, outlive_readers

    open_missing_streams()
    outlive_readers()
    # Before the imports that take seconds: a signal that comes meanwhile must not kill the process.
    guard = PreemptionGuard()
    guard.install()
    collect_garbage_less_often()
    from simplexity.running import entrypoint

    entrypoint("train_model", guard)
