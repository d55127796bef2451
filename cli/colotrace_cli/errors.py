"""What can go wrong, and the exit code that says so.

CliError
├── SettingsError   2  something is missing or cannot be used
└── RequestError   3  no answer, or an answer that is an error
"""

from typing import ClassVar

ALL_WELL = 0
SOME_ROW_FAILED = 1


class CliError(Exception):
    """Told to the user as its text, which names the remedy."""

    exit_code: ClassVar[int]


class SettingsError(CliError):
    """A setting is missing or cannot be used; nothing was sent."""

    exit_code = 2


class RequestError(CliError):
    """The request brought no result; `body` is the API's envelope where one came."""

    exit_code = 3

    def __init__(self, text: str, *, body: bytes | None = None) -> None:
        super().__init__(text)
        self.body = body
