"""The packs of a worker: one for each program that its runs have at the time."""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from simplexity.training import Pack, PackMember, StepArguments, StepFunction, TrainState

from ._kept_programs import kept_program
from ._memory import fits_into_memory, require_memory


class Packs:
    """Brings the threads of a worker together, each of which executes a run: those of one program form a pack.

    Which program a run has is known only when the run was built. Until then, and while it executes in any other way,
    its thread is expected to join any pack.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._packs: dict[Hashable, Pack] = {}
        self._num_coming = 0

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """Room for the run that this thread executes within the `with` block."""
        with self._lock:
            self._num_coming += 1
        place = Place(self)
        try:
            yield place
        finally:
            self._remove(place)

    def enter(self, place: "Place", key: Hashable, new_pack: Callable[[Callable[[], int]], Pack]) -> Pack:
        """Makes a run, by its place, a member of the pack of this key; makes the pack if there is none."""
        with self._lock:
            if key not in self._packs:
                self._packs[key] = new_pack(lambda: self._num_coming)
            place.key = key
            self._num_coming -= 1
            self._packs[key].add_member()
            return self._packs[key]

    def _remove(self, place: "Place") -> None:
        with self._lock:
            if place.key is None:
                self._num_coming -= 1
            elif not self._packs[place.key].remove_member(place.member):
                del self._packs[place.key]


class Place:
    """A run's place in the packs of its worker.

    Args:
        packs: The packs.

    Attributes:
        key: That of the pack which the run is a member of; None before it has joined one.
        member: The run in that pack; None before there is a program for it.
    """

    def __init__(self, packs: Packs):
        self._packs = packs
        self.key: Hashable | None = None
        self.member: PackMember | None = None

    def join(
        self,
        key: Hashable,
        make_step_function: Callable[[], StepFunction],
        arguments: StepArguments,
        state: TrainState,
        compiler_options: Mapping[str, bool | int | str],
    ) -> PackMember:
        """Joins the runs of the same program; returns once a program with room for them all is compiled.

        Args:
            key: All that the program depends on: see `kept_program`.
            make_step_function: Makes its step function.
            arguments: The run's arguments of the program.
            state: A state of the run's shapes.
            compiler_options: XLA's for the step function.

        Raises:
            RuntimeError: If not even the program of one run fits into memory.
        """

        def kept(size: int, compiled: Callable[[], Any]) -> Any:
            program = kept_program(("pack", size, key), compiled)
            if size == 1:
                require_memory(program, "a training step takes")
            return program if fits_into_memory(program) else None

        def new_pack(num_coming: Callable[[], int]) -> Pack:
            return Pack(make_step_function(), arguments, state, num_coming, kept, compiler_options)

        self.member = self._packs.enter(self, key, new_pack).member(arguments)
        return self.member
