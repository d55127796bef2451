"""The exceptions of the command: one tree.

    CliError
    ├── SettingsError   2  a setting is missing or invalid
    └── RequestError    3  no answer, or an error as answer

`main` ends with the exit code of each.
"""

from typing import ClassVar

EXIT_ROW_FAILED = 1


class CliError(Exception):
    """An error for the user; its text includes the remedy."""

    exit_code: ClassVar[int]


class SettingsError(CliError):
    """A setting is missing or invalid; nothing was sent."""

    exit_code = 2


class RequestError(CliError):
    """The request failed; `body` is the API's envelope, if one was received."""

    exit_code = 3

    def __init__(self, text: str, *, body: bytes | None = None) -> None:
        super().__init__(text)
        self.body = body
