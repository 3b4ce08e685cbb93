import numpy as np
import pytest
from matplotlib.image import imread

from simplexity.analysis.figures import draw_loss_curve
from simplexity.generative_processes import LossOptimum

OPTIMUM = LossOptimum(0.83, 0.001, np.array([0.9, 0.8, 0.79]))
TRAINED = [{"step": step, "loss": 0.83 + 1 / step, "excess": 1 / step} for step in range(10, 100, 10)]
VALIDATED = [line | {"validation_loss": line["loss"], "validation_kl": 0.01} for line in TRAINED]
BY_POSITION = [*VALIDATED[:-1], VALIDATED[-1] | {"validation_loss_per_position": [1.0, 0.9, None]}]


def pixels(lines, tmp_path):
    path = tmp_path / "figures" / "loss.png"
    draw_loss_curve(lines, OPTIMUM, path)
    return imread(path)


@pytest.mark.parametrize("lines", [[], TRAINED, VALIDATED, [line | {"loss": None} for line in TRAINED]])
def test_every_run_gets_a_picture(lines, tmp_path):
    image = pixels(lines, tmp_path)
    assert image.shape[1] > image.shape[0] > 100


def test_what_is_known_is_drawn(tmp_path):
    trained, validated, by_position = (pixels(lines, tmp_path) for lines in (TRAINED, VALIDATED, BY_POSITION))
    assert not np.array_equal(trained, validated)
    assert not np.array_equal(validated, by_position)
