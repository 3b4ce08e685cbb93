"""Sweeps as their launcher and runs leave them, with losses and curves as a test wants them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simplexity.runs import EventKind, Ledger, RunDirectory
from simplexity.sweeps import LocalLaunch, Manifest, SweepDirectory, SweepRun


def write_sweep(
    path: Path, runs: Sequence[tuple[tuple[str, ...], float | None]], *, config: str = "", num_lines: int = 8
) -> SweepDirectory:
    """A sweep whose runs have an optimum of 0.5 nats.

    Args:
        path: Its folder.
        runs: Of each the overrides and the final KL; None for a run that has stopped half-way.
        config: Content of the sweep's multirun.yaml.
        num_lines: Logged lines of a complete run; none if 0.
    """
    sweep = SweepDirectory(path)
    sweep.folder.mkdir(parents=True)
    (sweep.path / "multirun.yaml").write_text(config)
    entries = tuple(SweepRun(i, overrides, f"{i:016x}", str(i), 100) for i, (overrides, _) in enumerate(runs))
    launch = LocalLaunch(max_parallel=1, cores_per_run=None)
    sweep.write_manifest(
        Manifest(
            program="train_model", config_name="train_model", created=0.0, version="0", working_folder=str(path),
            launch=launch, runs=entries,
        )
    )  # fmt: skip
    for entry, (_, final_kl) in zip(entries, runs, strict=True):
        directory = RunDirectory.create(sweep.path / entry.directory)
        directory.config_path.write_text("seed: 0\n")
        ledger = Ledger(directory.ledger_path)
        ledger.append(EventKind.START, 0)
        shown = num_lines if final_kl is not None else num_lines // 2
        target = 0.01 if final_kl is None or not np.isfinite(final_kl) else final_kl
        lines = [{"step": 10 * (i + 1), "excess": target + 0.3 * np.exp(-i)} for i in range(shown)]
        directory.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        if final_kl is not None:
            directory.mark_complete(10 * num_lines, 0.5 + final_kl, 0.5, final_kl)
            ledger.append(EventKind.COMPLETE, 10 * num_lines)
    return sweep
