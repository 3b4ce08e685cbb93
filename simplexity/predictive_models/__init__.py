"""Models that predict the next token of a sequence."""

from ._gru import GRU as GRU
from ._lstm import LSTM as LSTM
from ._predictive_model import PredictiveModel as PredictiveModel
from ._rnn import RNN as RNN
from ._transformer import Transformer as Transformer
