"""The calls of a pack: what its members want at the same time is computed together.

A round is what the members have asked for when it begins: the steps of those that train, and then a call of each
program of validations for as many as it has places. The others that are due have their turn in the next round.
"""

import queue
import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ._chunk import ChunkSizer
from ._pack_rows import PackRows, StepsOfRun
from ._pack_scores import BatchesOfRun, ScoreProgram
from ._packed_state import Numbers

# A round waits for the members of the last one: so long after each of them has come, for the next. A member that
# saves takes longer, and then misses a round. Members that log a line do not.
_PATIENCE_S = 0.05


class _Request(NamedTuple):
    """What a member wants: steps, or scores by the program of its validation."""

    wanted: StepsOfRun | BatchesOfRun
    program: ScoreProgram | None
    answer: Future[Any]


class PackCalls:
    """Computes what members ask for, in a thread of its own.

    Args:
        rows: Their states.
    """

    def __init__(self, rows: PackRows):
        self._rows = rows
        self._sizer = ChunkSizer()
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        # A daemon: a process that has to end at once does not wait for a call.
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def num_steps(self) -> int:
        """How many steps a call may have, to last as long as one of a run alone."""
        return self._sizer.num_steps

    def end(self) -> None:
        """No member is left."""
        self._requests.put(None)

    def steps(self, wanted: StepsOfRun) -> Numbers:
        """Takes steps of a member; returns the numbers of its state after them."""
        return self._answer(wanted, None)

    def score(self, wanted: BatchesOfRun, program: ScoreProgram) -> Float[np.ndarray, "batches 3 sequence_len"]:
        """Scores validation batches of a member."""
        return self._answer(wanted, program)

    def _answer(self, wanted: StepsOfRun | BatchesOfRun, program: ScoreProgram | None) -> Any:
        answer: Future[Any] = Future()
        self._requests.put(_Request(wanted, program, answer))
        return answer.result()

    def _serve(self) -> None:
        expected: set[Hashable] | None = set()
        while expected is not None:
            expected = self._serve_once(expected)

    def _serve_once(self, expected: set[Hashable]) -> set[Hashable] | None:
        """Computes the calls of one round, and returns its members; None once the pack is over."""
        first = self._requests.get()
        if first is None:
            return None
        requests = self._gather(first, expected)
        by_program: dict[ScoreProgram | None, list[_Request]] = {}
        for request in requests:
            by_program.setdefault(request.program, []).append(request)
        # The steps first: those members log and save while the others are validated.
        for program in sorted(by_program, key=lambda program: program is not None):
            self._call(by_program[program], program)
        return {request.wanted.run for request in requests}

    def _call(self, requests: Sequence[_Request], program: ScoreProgram | None) -> None:
        """Answers the requests for one program, or as many of them as one call can, and puts the others off."""
        wanted: list[Any] = [request.wanted for request in requests]
        try:
            results = self._take_steps(wanted) if program is None else score_batches(self._rows, wanted, program)
        except BaseException as error:
            for request in requests:
                request.answer.set_exception(error)
            return
        for request in requests:
            if request.wanted.run in results:
                request.answer.set_result(results[request.wanted.run])
            else:
                self._requests.put(request)

    def _gather(self, first: _Request, expected: set[Hashable]) -> list[_Request]:
        """The requests of one round: of all that took part in the last one, unless they are late, and of all others."""
        requests = [first]
        missing = expected - {first.wanted.run}
        while True:
            try:
                request = self._requests.get(timeout=_PATIENCE_S if missing else 0)
            except queue.Empty:
                return requests
            if request is None:  # the last member has ended: an error has reached it elsewhere
                self._requests.put(None)
                return requests
            requests.append(request)
            missing.discard(request.wanted.run)

    def _take_steps(self, wanted: Sequence[StepsOfRun]) -> dict[Hashable, Numbers]:
        longest = max(steps.num_steps for steps in wanted)
        self._sizer.start(longest)
        numbers = self._rows.run(wanted)
        self._sizer.stop(longest)
        return {steps.run: of_run for steps, of_run in zip(wanted, numbers, strict=True)}


def score_batches(
    rows: PackRows, wanted: Sequence[BatchesOfRun], program: ScoreProgram
) -> dict[Hashable, Float[np.ndarray, "batches 3 sequence_len"]]:
    """The scores of the first run's batches, and of as many others as one call of the program can score."""
    batches_of = {batches.run: batches for batches in wanted}
    runs, states = rows.stack(list(batches_of), program.places)
    scores = program.call(states, [batches_of[run] for run in runs])
    return {run: of_run[: batches_of[run].num_batches] for run, of_run in zip(runs, scores, strict=False)}
