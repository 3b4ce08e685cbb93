"""The optima of all packaged processes and of all mixtures of two of them, their stated errors, and how long they took.

python -m benchmarks.optima [--length N]
"""

import argparse
import itertools
import time

from simplexity.generative_processes import DataGenerator, GenerativeProcess, loss_optimum, nonergodic
from simplexity.process_table import packaged_processes

# A trained model's excess, in nats per token: an error must not be taken for it.
WANTED_ERROR = 1e-4


def main() -> int:
    """Returns 1 if an error is greater than is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optima", description=__doc__)
    parser.add_argument("--length", type=int, default=64, help="targets per sequence")
    length = parser.parse_args().length
    processes = {named.name: named.process for named in packaged_processes()}
    cases = processes | {
        f"{first} + {second}": mixture(processes[first], processes[second])
        for first, second in itertools.combinations(processes, 2)
    }
    print(f"{'':40}{'optimum':>10}{'error':>10}{'seconds':>9}")
    worst = 0.0
    for name, process in cases.items():
        started = time.process_time()
        optimum = loss_optimum(DataGenerator(process, None, None), length)
        seconds = time.process_time() - started
        print(f"{name:40}{optimum.nats:>10.6f}{optimum.error_nats:>10.1e}{seconds:>9.2f}", flush=True)
        worst = max(worst, optimum.error_nats)
    print(f"greatest error {worst:.1e}, wanted below {WANTED_ERROR:.0e}")
    return int(worst >= WANTED_ERROR)


def mixture(*processes: GenerativeProcess) -> GenerativeProcess:
    """In equal parts, over the same tokens."""
    vocab_maps = [range(process.vocab_size) for process in processes]
    return nonergodic(processes, [1 / len(processes)] * len(processes), vocab_maps)


if __name__ == "__main__":
    raise SystemExit(main())
