"""The pictures of a run. Apart from what they show, because importing matplotlib takes longer than most commands."""

from ._beliefs import draw_beliefs as draw_beliefs
from ._beliefs import draw_regression as draw_regression
from ._loss_curve import draw_loss_curve as draw_loss_curve
