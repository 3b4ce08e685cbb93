"""A pack: several runs of one program that take their training steps in one call, each run from a thread of its own.

A tiny model leaves most of a GPU idle, and each of its kernels takes as long as a kernel of many such models. So the
steps of many runs are computed as one program over one more axis. Everything else of a run stays in its own thread: its
loop, its validations, its lines and checkpoints, its end and its failure.

From a member's first call on, the pack has the member's state (`_pack_rows.py`). A call returns a few numbers of it.
The member copies the whole from the device where it needs that, to validate or to save, and not after its next call.
"""

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt32

from ._chunk import ChunkSizer
from ._pack_programs import PackPrograms
from ._pack_rows import PackRows, StepsOfRun
from ._packed_state import Numbers, PackedState
from ._state import RunState, TrainState
from ._step import StepArguments, StepFunction

# A call waits for the members of the last one: so long after each of them has come, for the next. A member that
# validates or saves takes longer, and then misses a call. Members that log a line do not.
_PATIENCE_S = 0.05


class _Request(NamedTuple):
    steps: StepsOfRun
    answer: Future[Numbers]


class Pack:
    """Takes the steps of its members together. A member is a thread that trains a run.

    On a GPU the members are one more axis of each array. On a CPU they are computed one after the other within one
    call, which is quicker there, and gives each member the bits that it would have alone.

    A program has places for a number of members that is a power of two. The thread that needs more places compiles it;
    once half of the members have ended, a smaller one is compiled beside the calls. So a call waits for a compiler only
    where memory is short: then a program with half as many places is compiled, and one call of the members is several.

    Args:
        train_steps: The step function that all members have.
        arguments: Those of one member: all have the same structure.
        state: That of one member.
        num_coming: How many threads may still become members, which a program has places for.
        kept: See `PackPrograms`.
        one_by_one: Whether to compute the members one after the other; None for whether the devices are CPUs.
    """

    def __init__(
        self,
        train_steps: StepFunction,
        arguments: StepArguments,
        state: TrainState,
        num_coming: Callable[[], int],
        kept: Callable[[int, Callable[[], Any]], Any] = lambda size, compiled: compiled(),
        *,
        one_by_one: bool | None = None,
    ):
        one_by_one = jax.default_backend() == "cpu" if one_by_one is None else one_by_one
        self._programs = PackPrograms(train_steps, arguments, state, kept, one_by_one)
        self._rows = PackRows(self._programs)
        self._num_coming = num_coming
        self._lock = threading.Lock()
        self._num_members = 0
        self._sizer = ChunkSizer()
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        # A daemon: a process that has to end at once does not wait for a call.
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def num_steps(self) -> int:
        """How many steps a call may have, to last as long as one of a run alone."""
        return self._sizer.num_steps

    def add_member(self) -> None:
        """One member more."""
        with self._lock:
            self._num_members += 1

    def member(self, arguments: StepArguments) -> "PackMember":
        """What a member takes its steps by; returns once there is a program.

        It has a place for every member, or for as many as memory allows.

        Args:
            arguments: The run's.

        Raises:
            RuntimeError: If memory does not suffice for a single member.
        """
        self._programs.require(self._num_members, self._num_wanted)
        return PackMember(self, np.asarray(self._programs.write_arguments(arguments)))

    def remove_member(self, member: "PackMember | None") -> bool:
        """One member fewer; returns whether any are left. A pack without members is over.

        Args:
            member: It, whose state can be read no more; None for one that has failed before it had anything to call.
        """
        if member is not None:
            self._rows.remove(member)
        with self._lock:
            self._num_members -= 1
            is_over = self._num_members == 0
        if is_over:
            self._requests.put(None)
        elif 2 * self._num_wanted() <= max(self._programs.sizes, default=0):
            make_smaller = partial(self._programs.add_smaller, self._num_wanted)
            threading.Thread(target=make_smaller, name="smaller pack").start()
        return not is_over

    def put(self, member: "PackMember", state: TrainState) -> None:
        """Takes over a member's state, whose buffers are donated."""
        self._rows.put(member, member.arguments, self._programs.write_state(state))
        for leaf in jax.tree.leaves(state):
            if isinstance(leaf, jax.Array):
                leaf.delete()

    def steps(self, member: "PackMember", num_steps: int, empties_window: bool) -> Numbers:
        """Takes steps of a member together with what the other members want; returns the numbers of its state."""
        answer: Future[Numbers] = Future()
        self._requests.put(_Request(StepsOfRun(member, num_steps, empties_window), answer))
        return answer.result()

    def read(self, member: "PackMember") -> TrainState:
        """The state of a member, in arrays of its own."""
        return self._rows.read(member)

    def _num_wanted(self) -> int:
        """Places for the members and for all that may become members."""
        return 1 << max(0, self._num_members + self._num_coming() - 1).bit_length()

    def _serve(self) -> None:
        expected: set[Hashable] | None = set()
        while expected is not None:
            expected = self._serve_once(expected)

    def _serve_once(self, expected: set[Hashable]) -> set[Hashable] | None:
        """Computes one call, and returns its members; None once the pack is over."""
        first = self._requests.get()
        if first is None:
            return None
        requests = self._gather(first, expected)
        try:
            numbers = self._call(requests)
        except BaseException as error:
            for request in requests:
                request.answer.set_exception(error)
        else:
            for request, its_numbers in zip(requests, numbers, strict=True):
                request.answer.set_result(its_numbers)
        return {request.steps.run for request in requests}

    def _gather(self, first: _Request, expected: set[Hashable]) -> list[_Request]:
        """The requests of one call: of all that took part in the last one, unless they are late, and of all others."""
        requests = [first]
        missing = expected - {first.steps.run}
        while True:
            try:
                request = self._requests.get(timeout=_PATIENCE_S if missing else 0)
            except queue.Empty:
                return requests
            if request is None:  # the last member has ended: an error has reached it elsewhere
                self._requests.put(None)
                return requests
            requests.append(request)
            missing.discard(request.steps.run)

    def _call(self, requests: Sequence[_Request]) -> list[Numbers]:
        longest = max(request.steps.num_steps for request in requests)
        self._sizer.start(longest)
        numbers = self._rows.run([request.steps for request in requests])
        self._sizer.stop(longest)
        return numbers


class PackMember:
    """A run in a pack: both the `train_steps(state, num_steps)` of its training loop, and the length of its calls.

    Args:
        pack: The pack.
        arguments: Those of the run's program, as words in the host's memory.
    """

    def __init__(self, pack: Pack, arguments: UInt32[np.ndarray, " words"]):
        self._pack = pack
        self.arguments = arguments
        self._num_calls = 0

    def __call__(self, state: RunState, num_steps: int) -> PackedState:
        """The state after `num_steps`.

        Args:
            state: That of the last call; or any whole state, whose buffers are donated.
            num_steps: At least 1.
        """
        if isinstance(state, PackedState) and state.read_row == _RowReader(self, self._num_calls):
            empties_window = state.has_empty_window
            state.release()
        else:
            empties_window = False
            self._pack.put(self, state.read())
        self._num_calls += 1
        numbers = self._pack.steps(self, num_steps, empties_window)
        return PackedState(numbers, _RowReader(self, self._num_calls))

    def read(self, call: int) -> TrainState:
        """The state after this call, the first of which is 1.

        Raises:
            RuntimeError: If the member has taken further steps since.
        """
        if call != self._num_calls:
            raise RuntimeError("a state was read after the run's next steps, which have replaced it")
        return self._pack.read(self)

    def start(self, most: int) -> int:
        """The number of steps of the next call, at most `most`: all members have the same unless something is due."""
        return min(most, self._pack.num_steps)

    def stop(self, num_steps: int) -> None:
        """Does nothing: the pack measures its calls."""


class _RowReader(NamedTuple):
    """Reads a member's state after one of its calls.

    The member has the number of the call and not the reader: in a cycle of the two, the arrays of a pack that is over
    would stay on the device until Python looks for cycles.
    """

    member: PackMember
    call: int

    def __call__(self) -> TrainState:
        return self.member.read(self.call)
