"""Runs find those of the same program, as soon as that is known."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.running import _packs
from simplexity.running._packs import Packs
from simplexity.training import Pack, PackMember, StepArguments, TrainState


class Recorded(Pack):
    """A pack that only counts its members: its programs would take seconds to compile."""

    def __init__(self, function, arguments, state, num_coming, kept, compiler_options):
        self.num_coming, self.kept, self.members = num_coming, kept, 0

    def add_member(self):
        self.members += 1

    def remove_member(self, member):
        self.members -= 1
        return self.members > 0

    def member(self, arguments):
        return PackMember(self, np.zeros(0, np.uint32))


@pytest.fixture
def packs(monkeypatch):
    monkeypatch.setattr(_packs, "Pack", Recorded)
    return Packs()


def join(place, key):
    return place.join(key, lambda: lambda *_: None, StepArguments(None, None), object.__new__(TrainState), {})._pack


def test_runs_of_one_program_meet_and_others_have_a_pack_of_their_own(packs):
    with packs.place() as first, packs.place() as second, packs.place() as third, packs.place():
        one = join(first, "a")
        assert (one.members, one.num_coming()) == (1, 3)
        assert join(second, "a") is one
        other = join(third, "b")
        assert other is not one
        assert (one.members, other.members, one.num_coming()) == (2, 1, 1)
    assert (one.members, other.members, one.num_coming()) == (0, 0, 0)
    with packs.place() as later:
        assert join(later, "a") is not one


def test_a_program_that_needs_more_memory_than_there_is_is_not_taken(packs, monkeypatch):
    monkeypatch.setattr("simplexity.running._memory.usable_memory_bytes", lambda: 0)
    program = eqx.filter_jit(lambda x: x + 1).lower(jnp.ones(3)).compile()
    with packs.place() as place:
        kept = join(place, "a").kept
        assert kept(8, lambda: program) is None
        with pytest.raises(
            RuntimeError, match=r"^out of memory: a training step takes .* smaller `training.batch_size`"
        ):
            kept(1, lambda: program)
