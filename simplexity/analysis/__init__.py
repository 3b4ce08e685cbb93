"""What a model has learned: the process's belief states in its activations, with what to compare that with."""

from ._activations import word_activations as word_activations
from ._attention import attention_by_distance as attention_by_distance
from ._belief_regression import BeliefRegression as BeliefRegression
from ._belief_regression import BeliefRegressor as BeliefRegressor
from ._belief_regression import regress_beliefs as regress_beliefs
from ._belief_states import belief_states_npz as belief_states_npz
from ._kl_by_position import kl_by_position as kl_by_position
from ._regression import Regression as Regression
from ._regression_problem import AnalysisInterruptedError as AnalysisInterruptedError
from ._regression_problem import RegressionProblem as RegressionProblem
from ._regression_problem import Row as Row
from ._settings import AnalysisSettings as AnalysisSettings
from ._words import Words as Words
from ._words import words_of as words_of
