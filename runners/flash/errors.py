"""What goes wrong when a flash image is made."""

from runners.errors import RunnerError


class FlashError(RunnerError):
    """The message is for the person who wants to flash a board, or for the operator: it says what to do."""
