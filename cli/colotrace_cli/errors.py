"""The exceptions of the command: one tree.

    CliError
    ├── SettingsError        2  a setting is missing or invalid
    └── RequestError         3  no answer, or an error as answer
        └── DisconnectedError  no connection, or it broke: asking again may help

`commands/reported.py` ends with the exit code of each.
"""

from collections.abc import Sequence
from typing import ClassVar

EXIT_ROW_FAILED = 1
EXIT_DIFFERS = 4
"""`diff` and `guard`: the two measurements differ."""


class CliError(Exception):
    """An error for the user; its text includes the remedy."""

    exit_code: ClassVar[int]


class SettingsError(CliError):
    """A setting is missing or invalid; nothing was sent."""

    exit_code = 2


class RequestError(CliError):
    """The request failed.

    `body` is the API's envelope, if one was received, and `status` its HTTP status (0 if there was
    no answer). `unknown_colos` are indexes into the request's `colos`.
    """

    exit_code = 3

    def __init__(
        self,
        text: str,
        *,
        body: bytes | None = None,
        status: int = 0,
        unknown_colos: Sequence[int] = (),
    ) -> None:
        super().__init__(text)
        self.body = body
        self.status = status
        self.unknown_colos = tuple(unknown_colos)


class DisconnectedError(RequestError):
    """There is no connection, or it broke or was silent."""
