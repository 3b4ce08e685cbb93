"""Threads that share a problem: one computes what is not known yet, and the others wait, but not for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from simplexity.analysis import AnalysisInterruptedError, RegressionProblem, _regression_problem
from simplexity.generative_processes import coin


def test_threads_compute_the_words_and_the_controls_once(monkeypatch):
    problem, calls = RegressionProblem(coin(0.3), 3), []

    def slow(function):
        def call(*args, **settings):
            calls.append(function)
            time.sleep(0.1)
            return function(*args, **settings)

        return call

    for name in ("words_of", "control_features"):
        monkeypatch.setattr(_regression_problem, name, slow(getattr(_regression_problem, name)))
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: problem.control_rows(lambda: False), range(4)))
    assert len(calls) == 2
    assert all(each is rows[0] for each in rows)


def test_whoever_waits_for_the_controls_of_another_can_be_interrupted(monkeypatch):
    problem, begun, end = RegressionProblem(coin(0.3), 3), threading.Event(), threading.Event()

    def slow(words):
        begun.set()
        assert end.wait(60)
        return iter(())

    monkeypatch.setattr(_regression_problem, "control_features", slow)
    with ThreadPoolExecutor(1) as pool:
        computing = pool.submit(problem.control_rows, lambda: False)
        assert begun.wait(60)
        with pytest.raises(AnalysisInterruptedError):
            problem.control_rows(lambda: True)
        end.set()
        assert computing.result() == []
