"""Models that predict the next token of a sequence, and what a recurrent one is made of."""

from ._cell import Cell as Cell
from ._gru import GRU as GRU
from ._lstm import LSTM as LSTM
from ._predictive_model import PredictiveModel as PredictiveModel
from ._recurrent_model import RecurrentModel as RecurrentModel
from ._recurrent_model import draw_layers as draw_layers
from ._rnn import RNN as RNN
from ._transformer import Transformer as Transformer
