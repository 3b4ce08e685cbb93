"""The same models and steps in PyTorch; run by a Python that has it: python -m benchmarks.torch_loop '{"case": ...}'.

The tokens are drawn once, before the steps. So PyTorch's steps lack what ours also do, the sampling of a batch.
"""

import json
import sys
from typing import Any

# .venv, where types are checked, lacks it.
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from .cases import Case
from .turns import Work, serve_lines

VOCAB_SIZE = 3


class _Recurrent(nn.Module):
    """One-hot tokens, layers, and a linear head."""

    def __init__(self, case: Case):
        super().__init__()
        layers = {"GRU": nn.GRU, "LSTM": nn.LSTM, "RNN": nn.RNN}[case.kind]
        self.layers = layers(VOCAB_SIZE, case.hidden_size, case.num_layers, batch_first=True)
        self.head = nn.Linear(case.hidden_size, VOCAB_SIZE)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(functional.one_hot(tokens, VOCAB_SIZE).float())[0])


class _Block(nn.Module):
    def __init__(self, case: Case):
        super().__init__()
        width, heads = case.hidden_size, case.num_heads * case.head_size
        self.num_heads = case.num_heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values, self.output = nn.Linear(width, 3 * heads), nn.Linear(heads, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        heads = self.queries_keys_values(self.attention_norm(x)).view(batch, length, 3, self.num_heads, -1)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, -1))
        return x + self.mlp(self.mlp_norm(x))


class _Transformer(nn.Module):
    def __init__(self, case: Case):
        super().__init__()
        width = case.hidden_size
        self.embedding = nn.Embedding(VOCAB_SIZE, width)
        self.positions = nn.Parameter(0.02 * torch.randn(case.sequence_len, width))
        self.blocks = nn.Sequential(*(_Block(case) for _ in range(case.num_layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCAB_SIZE)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.embedding(tokens) + self.positions)))


def make(argument: dict[str, Any]) -> Work:
    """The steps of `argument["case"]`, through `torch.compile` if `argument["compiled"]`."""
    torch.set_num_threads(1)
    case = Case(**argument["case"])
    model = (_Transformer if case.kind == "transformer" else _Recurrent)(case)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    tokens = torch.randint(VOCAB_SIZE, (case.batch_size, case.sequence_len + 1))

    def loss_of(tokens: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    loss_and_graph = torch.compile(loss_of) if argument["compiled"] else loss_of

    def do(num_steps: int) -> None:
        for _ in range(num_steps):
            optimizer.zero_grad()
            loss_and_graph(tokens).backward()
            optimizer.step()

    return Work(do)


if __name__ == "__main__":
    serve_lines(make, json.loads(sys.argv[1]))
