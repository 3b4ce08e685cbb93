"""The models and batches that the benchmarks train, and the matrix products of their steps."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

_NUM_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
# Queries of attention that multiply by the same keys.
_QUERIES = 128


class Product(NamedTuple):
    """`count` times `stack` products of a (rows, inner) by an (inner, columns) matrix; `stack` of them in one call."""

    count: int
    stack: int
    rows: int
    inner: int
    columns: int


@dataclass(frozen=True)
class Case:
    """A model and a batch.

    Args:
        kind: The architecture.
        num_layers: Layers of the model.
        hidden_size: Units per layer; for a transformer the width of the residual stream. Its MLPs are four times as
            wide, and its positions learned.
        batch_size: Sequences per step.
        sequence_len: Predictions per sequence.
        floor: The least ratio to the naive loop that the project accepts on two CPU cores; None without one.
        num_heads: Attention heads per layer of a transformer.
        head_size: Their width.
        peer_floor: The least ratio to the better of PyTorch's loops, eager and compiled, on one core; None without one.
        product_floor: The least share of a step's CPU time that NumPy needs for `products`; None without one.
    """

    kind: Literal["GRU", "LSTM", "RNN", "transformer"]
    num_layers: int
    hidden_size: int
    batch_size: int
    sequence_len: int
    floor: float | None = None
    num_heads: int = 1
    head_size: int = 0
    peer_floor: float | None = None
    product_floor: float | None = None

    @property
    def name(self) -> str:
        """What the tables call it."""
        heads = f" {self.num_heads}x{self.head_size}" if self.kind == "transformer" else ""
        size = f"{self.num_layers}x{self.hidden_size}{heads}"
        return f"{self.kind} {size}, batch {self.batch_size}, length {self.sequence_len}"

    @property
    def products(self) -> list[Product]:
        """The matrix products of a forward pass; a step's derivative has two more of the same size for each.

        The products with the alphabet, at the embedding and at the head, are not counted, and attention is counted in
        blocks of 128 queries by the keys up to their last position.
        """
        width, batch, length = self.hidden_size, self.batch_size, self.sequence_len
        if self.kind != "transformer":
            gates = _NUM_GATES[self.kind] * width
            over_time = Product(self.num_layers * length, 1, batch, width, gates)
            from_below = Product(self.num_layers - 1, 1, batch * length, width, gates)
            return [over_time, from_below] if from_below.count else [over_time]
        heads, stack = self.num_heads * self.head_size, batch * self.num_heads
        maps = ((width, 3 * heads), (heads, width), (width, 4 * width), (4 * width, width))
        products = [Product(self.num_layers, 1, batch * length, inner, columns) for inner, columns in maps]
        for start in range(0, length, _QUERIES):
            stop = min(start + _QUERIES, length)
            products.append(Product(self.num_layers, stack, stop - start, self.head_size, stop))
            products.append(Product(self.num_layers, stack, stop - start, stop, self.head_size))
        return products

    @property
    def flops_per_step(self) -> float:
        """Multiplications and additions of the matrix products of a step; nothing elementwise is counted."""
        return 3.0 * sum(2 * p.count * p.stack * p.rows * p.inner * p.columns for p in self.products)


CASES = (
    Case("GRU", 4, 64, batch_size=128, sequence_len=64, floor=1.8, peer_floor=2.0, product_floor=0.75),
    Case("GRU", 1, 32, batch_size=32, sequence_len=32, floor=7.0, peer_floor=12.0),
    Case("GRU", 4, 64, batch_size=4, sequence_len=8, floor=5.0, peer_floor=12.0),
    Case("LSTM", 4, 64, batch_size=128, sequence_len=64, floor=4.0, peer_floor=2.0, product_floor=0.75),
    Case("RNN", 4, 64, batch_size=128, sequence_len=64, floor=4.0, peer_floor=2.0),
    Case(
        "transformer", 2, 64, num_heads=4, head_size=16, batch_size=128, sequence_len=64,
        floor=2.5, peer_floor=1.5, product_floor=0.5,
    ),
    # The model of arXiv:2405.15943.
    Case(
        "transformer", 4, 64, num_heads=1, head_size=8, batch_size=64, sequence_len=10,
        floor=2.5, peer_floor=1.5, product_floor=0.5,
    ),
    Case(
        "transformer", 4, 120, num_heads=3, head_size=40, batch_size=256, sequence_len=9,
        floor=4.0, peer_floor=1.5, product_floor=0.5,
    ),
)  # fmt: skip

# What `make bench-peers` measures.
PEER_CASES = (
    *CASES,
    Case("GRU", 4, 64, batch_size=1, sequence_len=64, peer_floor=2.0),
    Case("GRU", 4, 64, batch_size=8, sequence_len=1024, peer_floor=2.0, product_floor=0.75),
    Case("LSTM", 1, 32, batch_size=32, sequence_len=32, peer_floor=2.8),
    Case(
        "transformer", 2, 64, num_heads=4, head_size=16, batch_size=32, sequence_len=256,
        peer_floor=1.5, product_floor=0.5,
    ),
    Case(
        "transformer", 2, 64, num_heads=4, head_size=16, batch_size=8, sequence_len=1024,
        peer_floor=1.5, product_floor=0.5,
    ),
)  # fmt: skip
