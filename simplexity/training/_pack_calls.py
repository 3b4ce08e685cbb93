"""The calls of a pack: what its members want at the same time is computed together.

A round is what the members have asked for when it begins: one call takes the steps of those that train, and others
score the validations of those that are due.
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
from ._pack_scores import BatchesOfRun, PackScores
from ._packed_state import Numbers

# A round waits for the members of the last one: so long after each of them has come, for the next. A member that
# saves takes longer, and then misses a round. Members that log a line do not.
_PATIENCE_S = 0.05


class _Request(NamedTuple):
    """What a member wants: steps, or scores by the program of its validation."""

    wanted: StepsOfRun | BatchesOfRun
    scores: PackScores | None
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
        return self._answer(wanted)

    def scores(self, wanted: BatchesOfRun, scores: PackScores) -> Float[np.ndarray, "batches 3 sequence_len"]:
        """Scores validation batches of a member."""
        return self._answer(wanted, scores)

    def _answer(self, wanted: StepsOfRun | BatchesOfRun, scores: PackScores | None = None) -> Any:
        answer: Future[Any] = Future()
        self._requests.put(_Request(wanted, scores, answer))
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
        by_program: dict[PackScores | None, list[_Request]] = {}
        for request in requests:
            by_program.setdefault(request.scores, []).append(request)
        # The steps first: those members have their answer while the others are validated.
        for scores in sorted(by_program, key=lambda scores: scores is not None):
            of_program = by_program[scores]
            wanted: list[Any] = [request.wanted for request in of_program]
            try:
                results = self._take_steps(wanted) if scores is None else self._score(wanted, scores)
            except BaseException as error:
                for request in of_program:
                    request.answer.set_exception(error)
            else:
                for request, result in zip(of_program, results, strict=True):
                    request.answer.set_result(result)
        return {request.wanted.run for request in requests}

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

    def _take_steps(self, wanted: Sequence[StepsOfRun]) -> list[Numbers]:
        longest = max(steps.num_steps for steps in wanted)
        self._sizer.start(longest)
        numbers = self._rows.run(wanted)
        self._sizer.stop(longest)
        return numbers

    def _score(
        self, wanted: Sequence[BatchesOfRun], scores: PackScores
    ) -> list[Float[np.ndarray, "batches 3 sequence_len"]]:
        batches_of = {batches.run: batches for batches in wanted}
        found: dict[Hashable, Float[np.ndarray, "batches 3 sequence_len"]] = {}
        while missing := [run for run in batches_of if run not in found]:
            runs, states = self._rows.stack(missing, scores.places)
            result = scores.call(states, [batches_of[run] for run in runs])
            if result is not None:
                found |= {run: of_run[: batches_of[run].num_batches] for run, of_run in zip(runs, result, strict=False)}
        return [found[batches.run] for batches in wanted]
