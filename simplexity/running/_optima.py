"""A run's best possible losses, computed once for all runs of a sweep: files in the sweep's folder keep them.

The runs of a sweep over seeds, learning rates or models have the same optimum, which takes up to seconds to compute. A
file that cannot be read or written only costs the time to compute its numbers anew: they have the same bits.
"""

import hashlib
import json
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

import jax
import numpy as np

from simplexity import generative_processes
from simplexity.generative_processes import DataGenerator, LossOptimum, loss_optimum
from simplexity.runs import RunDirectory, write_durably
from simplexity.sweeps import sweep_of
from simplexity.training import Optima

from ._build import Experiment
from ._kept_programs import values_of

# The threads of a pack begin at the same time: the first computes what the others then read.
_computing = threading.Lock()


def optima_of(experiment: Experiment, directory: RunDirectory) -> Optima:
    """The best possible losses of training and of validation.

    Args:
        experiment: What the run computes with.
        directory: The run's; if it belongs to a sweep, the sweep's other runs compute these numbers no more.
    """
    sweep = sweep_of(directory.path)
    folder = None if sweep is None else sweep.optima_path
    length, carry_state = experiment.settings.sequence_len, experiment.settings.carry_state
    training = _kept(folder, experiment.generator, length, carry_state)
    # Validation always begins at the initial state.
    if experiment.validation_generator is experiment.generator and not carry_state:
        return Optima(training, training)
    return Optima(training, _kept(folder, experiment.validation_generator, length, False))


def _kept(folder: Path | None, generator: DataGenerator, length: int, carry_state: bool) -> LossOptimum:
    if folder is None:
        return loss_optimum(generator, length, carry_state=carry_state)
    path = folder / f"{_key(generator, length, carry_state)}.json"
    with _computing:
        # OSError: it has not been computed yet, or the file cannot be read; the others: it is corrupt.
        with suppress(OSError, ValueError, TypeError, KeyError):
            return _from_text(path.read_text(encoding="utf-8"), length)
        optimum = loss_optimum(generator, length, carry_state=carry_state)
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
            write_durably(path, _to_text(optimum))
        return optimum


def _to_text(optimum: LossOptimum) -> str:
    # JSON has Python's shortest text of each number, which reads back to the same bits.
    return json.dumps(optimum._replace(per_position=optimum.per_position.tolist())._asdict()) + "\n"  # pyright: ignore


def _from_text(text: str, length: int) -> LossOptimum:
    record = json.loads(text)
    numbers = np.array([record["nats"], record["error_nats"], *record["per_position"]], dtype=np.float64)
    if numbers.shape != (length + 2,) or not np.isfinite(numbers).all():
        raise ValueError("not what was written")
    return LossOptimum(float(numbers[0]), float(numbers[1]), numbers[2:])


def _key(generator: DataGenerator, length: int, carry_state: bool) -> str:
    """Names all that the numbers depend on: the process's tables, special tokens, length, and what computes them."""
    structure = jax.tree.structure(generator)
    digest = hashlib.sha256(f"{_code_version()} {structure} {length} {carry_state}".encode())
    for array in values_of(generator):
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


@cache
def _code_version() -> str:
    """Of the modules that compute optima, and of numpy, whose versions may differ in the last bits of a sum."""
    digest = hashlib.sha256(np.__version__.encode())
    for path in sorted(Path(generative_processes.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
