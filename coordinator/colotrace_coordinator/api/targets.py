"""Whether a string can name a target at all; whether it may be traced is `policy`'s to say."""

import ipaddress
import re

MAX_TARGET = 255

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# A name whose last label is a number is an address to some resolvers ("127.1", "0x7f000001"),
# and to others none: RFC 3696, section 2, and the URL standard forbid it.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def fault(target: str) -> str | None:
    """What keeps the string from naming a target, in words; None where nothing does."""
    if not target:
        return "is empty"
    if len(target) > MAX_TARGET:
        return f"is longer than {MAX_TARGET} characters"
    if "%" in target:
        return "has a zone id, which means nothing at another host"
    try:
        ipaddress.ip_address(target)
    except ValueError:
        pass
    else:
        return None
    return None if _is_hostname(target) else "is not a hostname, an IPv4 or an IPv6 address"


def _is_hostname(text: str) -> bool:
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            return False
    name = text.removesuffix(".")
    labels = name.split(".")
    return (
        len(name) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        and not _NUMBER.fullmatch(labels[-1])
    )
