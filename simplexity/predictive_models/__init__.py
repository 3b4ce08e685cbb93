"""Models that predict the next token of a sequence, and what a recurrent one is made of.

Example:
    >>> import jax, jax.numpy as jnp
    >>> import simplexity as sx
    >>> model = sx.models.GRU(16, 2, vocab_size=3, key=jax.random.key(0))
    >>> logits, activations = model.forward(jnp.array([[0, 1, 2, 0]]))
    >>> {name: array.shape for name, array in activations.items()}
    {'layer_0': (1, 4, 16), 'layer_1': (1, 4, 16)}
"""

from ._cell import Cell as Cell
from ._gru import GRU as GRU
from ._lstm import LSTM as LSTM
from ._predictive_model import MicroBatch as MicroBatch
from ._predictive_model import PredictiveModel as PredictiveModel
from ._recurrent_model import RecurrentModel as RecurrentModel
from ._rnn import RNN as RNN
from ._selective_ssm import SelectiveSSM as SelectiveSSM
from ._transformer import Transformer as Transformer
from ._transformer_lens import to_transformer_lens as to_transformer_lens
