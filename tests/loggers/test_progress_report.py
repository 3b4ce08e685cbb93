import pytest

from simplexity.loggers import RunFacts
from simplexity.loggers._progress_report import ProgressReport, RecentRate


@pytest.mark.parametrize(
    ("marks", "rate"),
    [
        ([], None),
        ([(0.0, 5)], None),
        ([(0.0, 5), (0.0, 9)], None),
        ([(0.0, 100), (2.0, 300)], 100.0),
        ([(0.0, 0), (1.0, 1000), (5.0, 1040), (10.0, 1090), (12.0, 1110)], 10.0),  # the fast start is forgotten
        ([(0.0, 0), (100.0, 1), (200.0, 2)], 0.01),  # steps longer than the window
    ],
)
def test_rate_is_that_of_the_last_seconds(marks, rate):
    recent = RecentRate(window_s=10.0)
    for time_s, step in marks:
        recent.mark(time_s, step)
    assert recent.per_second() == (None if rate is None else pytest.approx(rate))


def test_line_says_how_far_how_good_how_fast_how_long():
    report = ProgressReport(RunFacts(num_train_steps=20_000, start_step=1000, tokens_per_step=64))
    assert report.line() == "step 1,000/20,000"
    report.reach(1000, time_s=50.0)
    report.log(1000, {"loss": 0.9, "optimum": 0.5631, "validation_loss": 0.8, "validation_loss_per_position": [0.1]})
    report.reach(4200, time_s=52.0)
    report.log(4200, {"loss": 0.57})
    assert report.line() == (
        "step 4,200/20,000 | loss 0.57000 | validation 0.80000 | optimum 0.56310"
        " | 1,600 steps/s | 102k tokens/s | 0:00:10 left"
    )


def test_a_narrow_terminal_is_shown_the_most_important_parts():
    report = ProgressReport(RunFacts(num_train_steps=20_000, start_step=0, tokens_per_step=64))
    report.reach(1000, time_s=50.0)
    report.reach(4200, time_s=52.0)
    report.log(4200, {"loss": 0.57, "validation_loss": 0.8, "optimum": 0.5631})
    for width in range(32, 120):
        assert len(report.line(width)) <= width
    assert report.line(120) == report.line()
    assert report.line(104) == (
        "step 4,200/20,000 | loss 0.57000 | validation 0.80000 | optimum 0.56310 | 1,600 steps/s | 0:00:10 left"
    )
    assert report.line(87).endswith("| optimum 0.56310 | 0:00:10 left")
    assert report.line(80) == "step 4,200/20,000 | loss 0.57000 | validation 0.80000 | optimum 0.56310"
    assert report.line(60) == "step 4,200/20,000 | loss 0.57000 | validation 0.80000"
    assert report.line(40) == "step 4,200/20,000 | loss 0.57000"


def test_an_optimum_that_is_not_exact_says_so():
    report = ProgressReport(RunFacts(num_train_steps=10, start_step=0, tokens_per_step=1))
    report.log(5, {"loss": 1.4, "optimum": 1.29695, "optimum_error": 5.3e-5})
    assert report.line() == "step 5/10 | loss 1.40000 | optimum 1.29695 ± 0.00006"


@pytest.mark.parametrize(
    ("rate", "tokens_per_step", "words"),
    [
        (0.052, 10, "0.052 steps/s | 1 tokens/s"),
        (12.34, 10, "12.3 steps/s | 123 tokens/s"),
        (1234.0, 10, "1,234 steps/s | 12.3k tokens/s"),
        (99.96, 10_000, "100 steps/s | 1.00M tokens/s"),
        (2000.0, 10**6, "2,000 steps/s | 2.00G tokens/s"),
    ],
)
def test_numbers_keep_three_digits(rate, tokens_per_step, words):
    report = ProgressReport(RunFacts(10**9, 0, tokens_per_step))
    report.reach(0, time_s=0.0)
    report.reach(round(1000 * rate), time_s=1000.0)
    assert words in report.line()
