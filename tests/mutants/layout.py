"""Where the fields of a reply lie, for mutations to aim at; a mutant's are where they were."""

from scenario import wire

Place = tuple[int, int]
"""Offset and size in bytes."""

_IP4: tuple[Place, ...] = (
    *((0, 1), (1, 1), (2, 2), (4, 2), (4, 2), (6, 2), (8, 1), (9, 1), (10, 2)),
    *((12, 4), (15, 1), (16, 4), (19, 1)),
)
_IP6: tuple[Place, ...] = ((0, 1), (0, 4), (4, 2), (6, 1), (7, 1), (8, 16), (24, 16), (39, 1))
# Ports, numbers, checksums, tags of every transport.
_TRANSPORT: tuple[Place, ...] = (
    *((0, 1), (1, 1), (0, 2), (2, 2), (4, 2), (6, 2), (4, 4), (6, 2), (4, 2)),
    *((8, 2), (8, 4), (10, 8), (12, 2), (13, 1), (17, 1)),
)
_ICMP_ERROR: tuple[Place, ...] = ((0, 1), (1, 1), (2, 2), (4, 1), (5, 1), (6, 2))
_EXTENSION: tuple[Place, ...] = ((0, 1), (2, 2), (4, 2), (6, 1), (7, 1), (8, 4))
_ERRORS, _ERRORS6 = {3, 11, 12}, {1, 2, 3, 4}


def behind_outer(packet: bytes | bytearray) -> int:
    """Return where the outer IP header ends."""
    return _behind_ip(packet, 0)


def error_at(packet: bytes | bytearray) -> int | None:
    """Return where an ICMP error begins, None in other packets."""
    at = behind_outer(packet)
    if len(packet) < at + 8 or len(packet) < 20:
        return None
    four = packet[0] >> 4 == 4
    if packet[9 if four else 6] != (wire.ICMP if four else wire.ICMP6):
        return None
    return at if packet[at] in (_ERRORS if four else _ERRORS6) else None


def quote_at(packet: bytes | bytearray) -> int | None:
    """Return where a quoted packet begins, None where there is none."""
    at = error_at(packet)
    least = 28 if packet[0] >> 4 == 4 else 48
    return at + 8 if at is not None and len(packet) >= at + least else None


def transport_in_quote(packet: bytes | bytearray, quote: int) -> int:
    """Return where the quoted packet's IP header ends."""
    return _behind_ip(packet, quote)


def places(packet: bytes | bytearray) -> list[Place]:
    """Return the fields of a reply, those of the identity more than once."""
    found = _ip(packet, 0)
    error, quote = error_at(packet), quote_at(packet)
    if error is None:
        found += _behind(packet, behind_outer(packet))
    else:
        found += _moved(_ICMP_ERROR, error)
    if quote is not None:
        found += 2 * _ip(packet, quote)
        found += 2 * _behind(packet, _behind_ip(packet, quote))
        found += _moved(_EXTENSION, quote + 128)
    return [(at, size) for at, size in found if at + size <= len(packet)]


def _behind(packet: bytes | bytearray, at: int) -> list[Place]:
    """A transport header, and where it is GRE's, what is inside."""
    found = _moved(_TRANSPORT, at)
    if packet[at : at + 1] == b"\x20" and len(packet) > at + 28:
        found += _ip(packet, at + 8)
        found += _moved(_TRANSPORT, _behind_ip(packet, at + 8))
    return found


def _ip(packet: bytes | bytearray, at: int) -> list[Place]:
    if len(packet) <= at:
        return []
    return _moved(_IP4 if packet[at] >> 4 == 4 else _IP6, at)


def _behind_ip(packet: bytes | bytearray, at: int) -> int:
    if len(packet) > at and packet[at] >> 4 == 4:
        return at + 4 * max(packet[at] & 15, 5)
    return at + 40


def _moved(fields: tuple[Place, ...], by: int) -> list[Place]:
    return [(at + by, size) for at, size in fields]
