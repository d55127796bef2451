"""Syntax of agent and job ids, colo names, and HOST:PORT addresses."""

import ipaddress
import re

from .hostnames import as_ascii, is_host_name
from .special_purpose import Address

_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COLO = re.compile(r"[a-z]{3,8}[0-9]{1,4}")

IDENTIFIER_SYNTAX = "1 to 64 letters, digits, dots, dashes, underscores"
COLO_SYNTAX = "3 to 8 letters and a number, like den01"
"""For error messages."""

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,255}):[0-9]{1,5}")


def is_identifier(text: str) -> bool:
    """Whether the text is a valid agent or job id."""
    return _IDENTIFIER.fullmatch(text) is not None


def is_colo_name(text: str) -> bool:
    """Whether the text is a valid full name of a colo: 3 to 8 letters, 1 to 4 digits."""
    return _COLO.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether the text is HOST:PORT: an IPv6 address is in brackets, a name in its DNS form."""
    if _ADDRESS.fullmatch(text) is None:
        return False
    host, _, port = text.rpartition(":")
    if not 0 < int(port) < 1 << 16:
        return False
    return is_ip(host[1:-1], 6) if host.startswith("[") else is_ip(host, 4) or is_host_name(host)


def with_ascii_host(text: str) -> str:
    """HOST:PORT with the name converted to its DNS form; other text unchanged."""
    host, colon, port = text.rpartition(":")
    return f"{as_ascii(host)}{colon}{port}"


def address_of(text: str) -> Address | None:
    """The IP address that the text is; None if it is none."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_ip(text: str, version: int) -> bool:
    """Whether the text is an address of that IP version."""
    address = address_of(text)
    return address is not None and address.version == version
