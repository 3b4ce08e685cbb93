"""The ids of the special tokens that mark the beginning and the end of a sequence."""

from typing import Literal

SpecialToken = int | Literal["auto"] | None
"""An id; "auto" for the first free id; None for no such token."""


def special_token_ids(
    num_process_tokens: int, bos_token: SpecialToken, eos_token: SpecialToken
) -> tuple[int | None, int | None]:
    """Chooses the ids of BOS and EOS, which follow the process's tokens without a gap.

    Args:
        num_process_tokens: The number of the process's tokens, whose ids begin at 0.
        bos_token: The token that begins every sequence.
        eos_token: The token that ends every sequence; "auto" for the first id that is free after BOS has its own.

    Returns:
        The ids of BOS and EOS, each None if there is no such token.

    Raises:
        ValueError: If an id is a process token or the other special token, or there is a gap in the vocabulary.
    """
    num_special = (bos_token is not None) + (eos_token is not None)
    free = [num_process_tokens + offset for offset in range(num_special)]
    _check("bos_token", bos_token, eos_token, free)
    _check("eos_token", eos_token, bos_token, free)
    # The ids that were given are free and distinct: "auto" takes the first id that the other token does not have.
    bos = _first(bos_token, [token for token in free if token != eos_token])
    return bos, _first(eos_token, [token for token in free if token != bos])


def _first(token: SpecialToken, free: list[int]) -> int | None:
    return free[0] if token == "auto" else token


def _check(name: str, token: SpecialToken, other: SpecialToken, free: list[int]) -> None:
    if not isinstance(token, int):
        return
    unclaimed = [candidate for candidate in free if candidate != other]
    remedy = f"use {unclaimed[0]} or auto"
    if 0 <= token < free[0]:
        raise ValueError(f"`{name}` must not be one of the process's tokens 0 to {free[0] - 1}, got {token}: {remedy}")
    if token == other:
        raise ValueError(f"`bos_token` and `eos_token` must differ, got {token} for both: use {free[0]} and {free[1]}")
    if token not in free:
        raise ValueError(f"`{name}` must follow the process's tokens 0 to {free[0] - 1}, got {token}: {remedy}")
