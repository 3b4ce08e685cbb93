"""The host's loop, on a real compiled run, with recorders in the place of files."""

from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.generative_processes import LossOptimum
from simplexity.training import NotFiniteError, Optima, RunMetrics, Validation, ValidationSettings, run_keys, train

from .conftest import VALIDATION_PLATEAU, make_run, plateau_optimizer_of, validation_plateau_optimizer_of

VALIDATION = ValidationSettings(every=20, batch_size=4, num_batches=2)
# The run's sequences have six targets.
OPTIMA = Optima(LossOptimum(0.8, 1e-4, np.full(6, 0.8)), LossOptimum(0.75, 0.0, np.full(6, 0.75)))
WALL_CLOCK = ("time_s", "timestamp")


class Recorder:
    """A logger, a checkpointer and a preemption that record their calls."""

    def __init__(self, save_every=None, stop_after=None):
        self.lines, self.saved, self.flushed = {}, {}, []
        self.phase = ""
        self.reached = 0
        self._save_every, self._stop_after = save_every, stop_after

    def log(self, step, metrics):
        self.lines[step] = {name: value for name, value in metrics.items() if name not in WALL_CLOCK}

    def progress(self, step):
        self.reached = step

    def flush(self):
        self.flushed.append(self.reached)

    def next_due_step(self, step):
        return None if self._save_every is None else step - step % self._save_every + self._save_every

    def due(self, step):
        return self._save_every is not None and step > 0 and step % self._save_every == 0 and step not in self.saved

    def save(self, step, state):
        self.saved.setdefault(step, jax.tree.map(lambda leaf: jnp.array(leaf), state))

    def wait(self):
        pass

    @contextmanager
    def timed(self, phase):
        self.phase = phase
        yield
        self.phase = ""

    def requested(self):
        return self._stop_after is not None and self.reached >= self._stop_after


class StopWithinValidation(Recorder):
    """Requests a stop once the first batch of a validation is done."""

    def __init__(self):
        super().__init__()
        self._asked = 0

    def requested(self):
        if self.reached == 20:
            self._asked += 1
        return self._asked > 1


class Observer:
    """Copies the model at the given steps; interrupted at one of them, if it is told so."""

    def __init__(self, *steps, interrupted_at=None):
        self.models, self.num_flushed = {}, 0
        self._steps, self._interrupted_at = steps, interrupted_at

    def next_due_step(self, step):
        return min((due for due in self._steps if due > step), default=None)

    def observe(self, step, model, interrupted):
        if step == self._interrupted_at:
            return False
        self.models[step] = jax.tree.map(lambda leaf: jnp.array(leaf), model)
        return True

    def flush(self):
        self.num_flushed = len(self.models)


@pytest.fixture(scope="module")
def validation(run):
    return Validation(run.generator, VALIDATION, run.settings.sequence_len, key=run_keys(0).validation)


def go(run, validation, recorder, state=None, observers=(), after_validation=lambda state, loss: state):
    metrics = RunMetrics(run.settings, lambda step, state: 0.01, lambda: OPTIMA, elapsed_s=0.0)
    return train(
        run.fresh() if state is None else state,
        run.train_steps,
        run.settings,
        metrics=metrics,
        validation=validation,
        logger=recorder,
        checkpointer=recorder,
        preemption=recorder,
        timed=recorder.timed,
        observers=observers,
        after_validation=after_validation,
    )


def test_lines_validations_and_saves_come_at_their_steps(run, validation):
    recorder = Recorder(save_every=15)
    result = go(run, validation, recorder)
    assert result.finished
    assert result.step == 40
    assert list(recorder.lines) == [10, 20, 30, 40]
    assert [step for step, line in recorder.lines.items() if "validation_loss" in line] == [20, 40]
    assert list(recorder.saved) == [15, 30, 40]
    assert recorder.lines[40]["tokens_seen"] == 40 * run.settings.tokens_per_step
    last = recorder.lines[40]
    assert last["excess"] == pytest.approx(last["loss"] - 0.8)
    assert last["optimum_error"] == 1e-4
    assert last["validation_loss"] == pytest.approx(OPTIMA.validation.nats + last["validation_kl"])
    assert last["validation_loss"] == pytest.approx(np.mean(last["validation_loss_per_position"]))
    assert last["validation_sampled_loss"] != last["validation_loss"]


@pytest.mark.parametrize("stop_after", [1, 10, 13, 20, 39, 40])
def test_stopped_run_resumes_where_it_was(run, validation, same_bits, stop_after):
    whole = Recorder()
    expected = go(run, validation, whole)
    first, second = Recorder(stop_after=stop_after), Recorder()
    stopped = go(run, validation, first)
    if stopped.finished:
        assert stop_after == 40
        return
    assert stopped.step >= stop_after
    assert list(first.saved) == [stopped.step]
    resumed = go(run, validation, second, first.saved[stopped.step])
    assert same_bits(resumed.state, expected.state)
    assert first.lines | second.lines == whole.lines


def test_resumed_run_on_a_product_goes_on_with_its_factors(same_bits):
    run, first = make_run(carry_state=True, process="product"), Recorder(stop_after=13)
    expected = go(run, None, Recorder())
    stopped = go(run, None, first)
    assert not stopped.finished
    assert same_bits(go(run, None, Recorder(), first.saved[stopped.step]).state, expected.state)


def test_resumed_run_knows_how_long_its_loss_has_not_improved(same_bits):
    run = make_run(optimizer_of=plateau_optimizer_of)
    expected = go(run, None, Recorder())
    scale = expected.state.optimizer_state[1].scale
    assert float(scale) == pytest.approx(0.9**12)  # 13 windows, of which only the first is an improvement
    for stop_after in np.random.default_rng(0).integers(1, 30, 3):
        first = Recorder(stop_after=stop_after)
        stopped = go(run, None, first)
        assert not stopped.finished
        assert same_bits(go(run, None, Recorder(), first.saved[stopped.step]).state, expected.state)


@pytest.mark.parametrize("stop_after", np.random.default_rng(0).integers(1, 40, 4).tolist())
def test_resumed_run_knows_how_long_its_validation_loss_has_not_improved(same_bits, stop_after):
    run = make_run(optimizer_of=validation_plateau_optimizer_of)
    every_5 = Validation(
        run.generator, ValidationSettings(5, 4, 1), run.settings.sequence_len, key=run_keys(0).validation
    )
    observe = VALIDATION_PLATEAU.observe
    whole, first, second = Recorder(), Recorder(stop_after=stop_after), Recorder()
    expected = go(run, every_5, whole, after_validation=observe)
    # Seven validations before the last one, of which only the first is an improvement.
    assert float(expected.state.optimizer_state[1].plateau.scale) == pytest.approx(0.5**6)
    stopped = go(run, every_5, first, after_validation=observe)
    assert not stopped.finished
    resumed = go(run, every_5, second, first.saved[stopped.step], after_validation=observe)
    assert same_bits(resumed.state, expected.state)
    assert first.lines | second.lines == whole.lines


def test_validation_that_was_cut_short_is_made_up(run, validation, same_bits):
    whole, first, second = Recorder(), StopWithinValidation(), Recorder()
    expected = go(run, validation, whole)
    stopped = go(run, validation, first)
    assert (stopped.step, stopped.finished, 20 in first.lines) == (20, False, False)
    resumed = go(run, validation, second, first.saved[20])
    assert same_bits(resumed.state, expected.state)
    assert first.lines | second.lines == whole.lines


def test_finished_run_is_extended_as_if_it_had_been_longer(same_bits):
    short, long = make_run(num_train_steps=25), make_run(num_train_steps=40)
    first, second, whole = Recorder(), Recorder(), Recorder()
    go(short, None, first)
    extended = go(long, None, second, first.saved[25])
    assert same_bits(extended.state, go(long, None, whole).state)
    assert {step: line for step, line in (first.lines | second.lines).items() if step != 25} == whole.lines


def test_nothing_is_saved_twice_by_a_run_that_stops_at_once(run, validation):
    first, second = Recorder(stop_after=13), Recorder(stop_after=0)
    stopped = go(run, validation, first)
    again = go(run, validation, second, first.saved[stopped.step])
    assert (again.step, again.finished, second.saved) == (stopped.step, False, {})


def test_loss_that_is_not_finite_stops_the_run_and_saves_the_state_before():
    run, recorder = make_run(learning_rate=1e38), Recorder()
    with pytest.raises(NotFiniteError, match=r"the loss is not finite at step (\d+)$") as caught:
        go(run, None, recorder)
    assert list(recorder.saved) == [caught.value.step]


def test_a_validation_is_not_timed_as_training(run):
    recorder, phases = Recorder(), []

    class Noting(Validation):
        def __call__(self, *arguments):
            phases.append(recorder.phase)
            return super().__call__(*arguments)

    go(run, Noting(run.generator, VALIDATION, run.settings.sequence_len, key=run_keys(0).validation), recorder)
    assert phases == ["", ""]


def test_observers_see_the_model_at_their_steps_and_change_no_bit(run, validation, same_bits):
    plain, observed, every = Recorder(save_every=15), Recorder(save_every=15), Recorder(save_every=1)
    expected = go(run, validation, plain)
    go(run, validation, every)
    first, second = Observer(0, 7, 15, 20, 33), Observer(7, 40, 1000)
    result = go(run, validation, observed, observers=[first, second])
    assert [list(observer.models) for observer in (first, second)] == [[0, 7, 15, 20, 33], [7, 40]]
    for step, model in (first.models | second.models).items():
        assert same_bits(model, (every.saved[step] if step else run.fresh()).model)
    assert same_bits(result.state, expected.state)
    assert observed.lines == plain.lines
    assert list(observed.saved) == list(plain.saved)
    assert all(same_bits(observed.saved[step], plain.saved[step]) for step in plain.saved)


@pytest.mark.parametrize("step", [0, 7, 20, 40])
def test_observation_that_was_interrupted_is_made_up(run, validation, same_bits, step):
    whole, first, second = Recorder(), Recorder(), Recorder()
    complete, cut, rest = Observer(0, 7, 20, 40), Observer(0, 7, 20, 40, interrupted_at=step), Observer(0, 7, 20, 40)
    expected = go(run, validation, whole, observers=[complete])
    stopped = go(run, validation, first, observers=[cut])
    assert (stopped.step, stopped.finished) == (step, False)
    resumed = go(run, validation, second, first.saved.get(step), observers=[rest])
    assert same_bits(resumed.state, expected.state)
    assert first.lines | second.lines == whole.lines
    assert next(iter(rest.models)) == step
    assert same_bits(cut.models | rest.models, complete.models)


def test_what_was_observed_is_durable_before_a_later_checkpoint_is_saved(run, validation):
    observer, flushed = Observer(0, 7, 15, 20, 33), {}

    class Noting(Recorder):
        def save(self, step, state):
            super().save(step, state)
            flushed[step] = observer.num_flushed

    go(run, validation, Noting(save_every=15), observers=[observer])
    assert flushed == {15: 3, 30: 4, 40: 5}
    assert observer.num_flushed == 5
    last = Observer(40)
    go(run, validation, Recorder(), observers=[last])
    assert last.num_flushed == 1
