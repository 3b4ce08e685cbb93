"""Checks of the arguments that models share."""


def check_positive(**arguments: int) -> None:
    """Raises ValueError, naming the argument and its value, unless every argument is at least 1."""
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}")
