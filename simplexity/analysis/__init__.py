"""What a run has learned: its loss over time, and the process's belief states in its model's activations."""

from ._activations import word_activations as word_activations
from ._belief_regression import BeliefRegression as BeliefRegression
from ._belief_regression import regress_beliefs as regress_beliefs
from ._loss_curve import draw_loss_curve as draw_loss_curve
from ._regression import Regression as Regression
from ._words import Words as Words
from ._words import words_of as words_of
