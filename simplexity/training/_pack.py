"""A pack: several runs of one program that train and validate in one call, each run from a thread of its own.

A tiny model leaves most of a GPU idle, and each of its kernels takes as long as a kernel of many such models. So the
steps of many runs are computed as one program over one more axis, and so are the validations that are due at the same
time. Everything else of a run stays in its own thread: its loop, its lines and checkpoints, its end and its failure.

From a member's first call on, the pack has the member's state (`_pack_rows.py`). A call returns a few numbers of it.
The member copies the whole from the device where it needs that, such as to save, and not after its next call.
"""

import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt32

from ._pack_calls import PackCalls
from ._pack_programs import Kept, PackPrograms
from ._pack_rows import PackRows, StepsOfRun
from ._pack_scores import BatchesOfRun, ScoreProgram
from ._packed_state import PackedState
from ._state import RunState, TrainState
from ._step import StepArguments, StepFunction
from ._validation import Score, ValidationArguments, ValidationMetrics, mean_over_batches

# On a GPU, where a batch of a small model takes little more than the start of its kernels. A CPU, which computes its
# members one after the other, sees a request to stop after one batch of each.
_BATCHES_PER_CALL = 8


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
        compiler_options: XLA's for the step function.
        one_by_one: Whether to compute the members one after the other; None for whether the devices are CPUs.

    Attributes:
        calls: Takes their steps, and scores their validations.
    """

    def __init__(
        self,
        train_steps: StepFunction,
        arguments: StepArguments,
        state: TrainState,
        num_coming: Callable[[], int],
        kept: Kept = lambda size, compiled: compiled(),
        compiler_options: Mapping[str, bool | int | str] = MappingProxyType({}),
        *,
        one_by_one: bool | None = None,
    ):
        self._one_by_one = jax.default_backend() == "cpu" if one_by_one is None else one_by_one
        self._programs = PackPrograms(train_steps, arguments, state, kept, compiler_options, self._one_by_one)
        self._score_programs: dict[Hashable, ScoreProgram] = {}
        self._rows = PackRows(self._programs)
        self._num_coming = num_coming
        self._lock = threading.Lock()
        self._num_members = 0
        self.calls = PackCalls(self._rows)

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
            self.calls.end()
        elif 2 * self._num_wanted() <= max(self._programs.sizes, default=0):
            make_smaller = partial(self._programs.add_smaller, self._num_wanted)
            threading.Thread(target=make_smaller, name="smaller pack").start()
        return not is_over

    def score_program(
        self, key: Hashable, score: Score, arguments: ValidationArguments, state: TrainState, kept: Kept
    ) -> ScoreProgram:
        """What scores the validations of members with the same `key`; returns once there is a program.

        Args:
            key: All that the program depends on beside the states.
            score: That of one batch.
            arguments: Those of one member: all have the same structure.
            state: That of one member.
            kept: See `ScoreProgram`.

        Raises:
            RuntimeError: If it needs more memory than there is.
        """
        with self._lock:
            if key not in self._score_programs:
                batches_per_call = 1 if self._one_by_one else _BATCHES_PER_CALL
                self._score_programs[key] = ScoreProgram(score, arguments, state, kept, batches_per_call)
            program, num_wanted = self._score_programs[key], self._num_wanted()
        program.require(num_wanted)
        return program

    def put(self, member: "PackMember", state: TrainState) -> None:
        """Copies a member's state into the pack."""
        self._rows.put(member, member.arguments, self._programs.write_state(state))

    def read(self, member: "PackMember") -> TrainState:
        """The state of a member, in arrays of its own."""
        return self._rows.read(member)

    def _num_wanted(self) -> int:
        """Places for the members and for all that may become members."""
        return 1 << max(0, self._num_members + self._num_coming() - 1).bit_length()


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
        if isinstance(state, PackedState) and self._is_in_pack(state):
            empties_window = state.has_empty_window
            state.release()
        else:
            empties_window = False
            whole = state.read()
            self._pack.put(self, whole)
            for leaf in jax.tree.leaves(whole):
                if isinstance(leaf, jax.Array):
                    leaf.delete()
        self._num_calls += 1
        numbers = self._pack.calls.steps(StepsOfRun(self, num_steps, empties_window))
        return PackedState(numbers, _RowReader(self, self._num_calls))

    def validation(
        self,
        key: Hashable,
        score: Score,
        arguments: ValidationArguments,
        state: TrainState,
        num_batches: int,
        kept: Kept = lambda size, compiled: compiled(),
    ) -> Callable[[RunState, Callable[[], bool]], ValidationMetrics | None]:
        """What validates the run together with the other members that are due; returns once there is a program.

        Args:
            key: All that the program depends on beside the states.
            score: That of one batch.
            arguments: The run's.
            state: A state of the run's shapes.
            num_batches: How many batches a validation has.
            kept: See `ScoreProgram`.

        Returns:
            A function like `Validation`; on a CPU its numbers are the same, bit for bit. A state other than the one
            that the member has returned last takes the place of that one, which cannot be read any more.

        Raises:
            RuntimeError: If the program needs more memory than there is.
        """
        program = self._pack.score_program(key, score, arguments, state, kept)
        words = program.written(arguments)

        def validate(state: RunState, interrupted: Callable[[], bool]) -> ValidationMetrics | None:
            if not self._is_in_pack(state):
                self._pack.put(self, state.read())
                self._num_calls += 1

            def scores_from(batch: int) -> Float[np.ndarray, "batches 3 sequence_len"]:
                number = min(program.batches_per_call, num_batches - batch)
                return self._pack.calls.score(BatchesOfRun(self, words, batch, number), program)

            return mean_over_batches(num_batches, scores_from, interrupted)

        return validate

    def _is_in_pack(self, state: RunState) -> bool:
        return isinstance(state, PackedState) and state.read_row == _RowReader(self, self._num_calls)

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
        return min(most, self._pack.calls.num_steps)

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
