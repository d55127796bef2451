"""What may name an agent, a job, a colo, and where a program listens."""

import re

_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COLO = re.compile(r"[a-z]{3,8}[0-9]{1,4}")

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,255}):[0-9]{1,5}")


def is_identifier(text: str) -> bool:
    """Whether the text may stand as an agent's or a job's identifier."""
    return _IDENTIFIER.fullmatch(text) is not None


def is_colo_name(text: str) -> bool:
    """Whether the text may stand as a colo's full name: 3 to 8 letters, 1 to 4 digits."""
    return _COLO.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether the text may stand as HOST:PORT; an IPv6 address is in brackets."""
    return _ADDRESS.fullmatch(text) is not None and 0 < int(text.rpartition(":")[2]) < 1 << 16
