"""What is regressed on a model's activations, with the controls beside: all that does not depend on a model."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from simplexity.generative_processes import DataGenerator, GenerativeProcess

from ._controls import control_features
from ._regression import Regression, fold_words, regress_each
from ._targets import further_targets
from ._words import Words, words_of

# The target that every process has: its whole belief state.
WHOLE = "beliefs"
_POLL_S = 0.5

Kind = Literal["trained", "untrained", "shuffled", "control"]


class Row(NamedTuple):
    """One regression: from which features, and what kind of comparison it is."""

    features: str
    """A layer, all of them together, or the name of a control."""
    kind: Kind
    """Activations of the trained model; of an untrained one; of the trained one, but with the belief states of other
    words; or features without a model."""
    regression: Regression

    @property
    def name(self) -> str:
        """What a table calls it."""
        return self.features + {"untrained": ", untrained model", "shuffled": ", shuffled beliefs"}.get(self.kind, "")


class AnalysisInterruptedError(Exception):
    """A stop was requested during an analysis."""


class _Given(NamedTuple):
    words: Words
    targets: dict[str, Float[np.ndarray, "words _"]]
    folds: Int[np.ndarray, " words"]


class RegressionProblem:
    """The words of one process with their belief states, divided into folds, and the controls that need no model.

    All of it serves every model that is trained on the process, and is computed when it is asked for first. Threads may
    share a problem: one of them computes, and the others wait.

    Args:
        process: The process, or the process with its special tokens.
        length: The number of tokens of the longest words.
        max_words: If there are more words of that length, sequences are drawn that begin with at most so many words.
        seed: Of the folds, of the shuffled belief states, and of what is drawn.
    """

    def __init__(
        self,
        process: DataGenerator | GenerativeProcess,
        length: int = 10,
        *,
        max_words: int = 60_000,
        seed: int = 0,
    ):
        self._process, self._length, self._max_words, self._seed = process, length, max_words, seed
        self._found: _Given | None = None
        self._control_rows: list[dict[str, Row]] | None = None
        self._lock, self._controls_lock = threading.Lock(), threading.Lock()

    def without_bos(self) -> "RegressionProblem":
        """The problem of the same process without special tokens.

        Raises:
            ValueError: If the sequences have no BOS.
        """
        if not isinstance(self._process, DataGenerator) or self._process.bos_token is None:
            raise ValueError("`also_without_bos` must be false: the sequences have no BOS")
        return RegressionProblem(self._process.process, self._length, max_words=self._max_words, seed=self._seed)

    @property
    def words(self) -> Words:
        """The words, each of which counts once, with its probability.

        Raises:
            ValueError: If `length` is below 1, or if the process has only one word of that length.
        """
        return self._given.words

    @property
    def targets(self) -> dict[str, Float[np.ndarray, "words _"]]:
        """What is regressed, by name: the whole belief state, and what `BeliefRegression.targets` has beside it."""
        return self._given.targets

    @property
    def num_bytes(self) -> int:
        """What has been computed and is kept: the size of the arrays, but for the controls' few numbers."""
        if self._found is None:
            return 0
        # The whole belief states are among the words and among the targets.
        arrays = {id(each): each for each in (*self._found.words, *self._found.targets.values(), self._found.folds)}
        return sum(array.nbytes for array in arrays.values() if isinstance(array, np.ndarray))

    @property
    def factors(self) -> list[Float[np.ndarray, "words _"]]:
        """The belief states of a factored process's factors; none for another process."""
        return [values for name, values in self.targets.items() if name.startswith("factor_")]

    @property
    def _given(self) -> _Given:
        with self._lock:
            if self._found is None:
                words = words_of(self._process, self._length, max_words=self._max_words, seed=self._seed)
                process = self._process.process if isinstance(self._process, DataGenerator) else self._process
                targets = {WHOLE: words.beliefs} | further_targets(process, words.beliefs)
                self._found = _Given(words, targets, fold_words(words.rows, self._seed))
            return self._found

    def rows(self, features: str, kind: Kind, values: np.ndarray, interrupted: Callable[[], bool]) -> dict[str, Row]:
        """The regressions of all targets on the same features, by target.

        Args:
            features: Their name.
            kind: The kind of comparison; "shuffled" regresses the belief states of other words.
            values: The features, a row per word.
            interrupted: Called before.

        Raises:
            AnalysisInterruptedError: If `interrupted()`.
        """
        if interrupted():
            raise AnalysisInterruptedError
        words, targets, folds = self._given
        if kind == "shuffled":
            order = np.random.default_rng(self._seed).permutation(len(words.rows))
            targets = {name: target[order] for name, target in targets.items()}
        found = regress_each(values, list(targets.values()), words.probabilities, folds)
        rows = {}
        for name, own in zip(targets, found, strict=True):
            # Nothing reads the other predictions, which would take gigabytes.
            is_kept = kind == "trained" and name == WHOLE
            rows[name] = Row(features, kind, own if is_kept else own._replace(predictions=own.predictions[:0].copy()))
        return rows

    def control_rows(self, interrupted: Callable[[], bool]) -> list[dict[str, Row]]:
        """The regressions on features that need no model: see `control_features`.

        Args:
            interrupted: Called between regressions, and while another thread computes them.

        Raises:
            AnalysisInterruptedError: As soon as `interrupted()`.
        """
        with self._computing_controls(interrupted):
            if self._control_rows is None:
                self._control_rows = [
                    self.rows(name, "control", values, interrupted) for name, values in control_features(self.words)
                ]
            return self._control_rows

    @contextmanager
    def _computing_controls(self, interrupted: Callable[[], bool]) -> Iterator[None]:
        while not self._controls_lock.acquire(timeout=_POLL_S):
            if interrupted():
                raise AnalysisInterruptedError
        try:
            yield
        finally:
            self._controls_lock.release()
