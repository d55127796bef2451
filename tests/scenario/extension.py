"""Extension structures behind a quote: RFC 4884, and what RFC 4950 and RFC 5837 put into them."""

import ipaddress
import struct

from scenario import wire
from scenario.kinds import InterfaceRole
from scenario.schema import Extension, Interface

_MPLS, _INTERFACE, _UNKNOWN = 1, 2, 0x77
_ROLES = list(InterfaceRole)
_AFI = {4: 1, 6: 2}


def extended(quote: bytes, extension: Extension, *, family: int) -> tuple[int, bytes]:
    """Return RFC 4884's length field, and the quote with the extension structure behind it."""
    unit = 4 if family == 4 else 8
    padded = quote[: extension.pad_to].ljust(extension.pad_to, b"\0")
    length = len(padded) // unit if extension.length == "right" else extension.length
    objects = b"".join(_objects(extension))
    if extension.object_length != "right":
        objects = extension.object_length.to_bytes(2) + objects[2:]
    body = struct.pack("!BBH", extension.version << 4, 0, 0) + objects
    check = wire.checksum(body) ^ (0 if extension.checksum_right else 0x5A5A)
    structure = body[:2] + check.to_bytes(2) + body[4:]
    whole = padded + structure
    return length, whole[: len(whole) - extension.cut]


def _objects(extension: Extension) -> list[bytes]:
    found = []
    if extension.unknown_object:
        found.append(_object(_UNKNOWN, 1, b"whatever"))
    if extension.mpls:
        found.append(_object(_MPLS, 1, _stack(extension)))
    found += [_interface(interface) for interface in extension.interfaces]
    return found


def _object(number: int, kind: int, payload: bytes) -> bytes:
    return struct.pack("!HBB", 4 + len(payload), number, kind) + payload


def _stack(extension: Extension) -> bytes:
    return b"".join(
        struct.pack(
            "!I",
            entry.label << 12
            | entry.exp << 9
            | (place == len(extension.mpls)) << 8  # the bottom of the stack
            | entry.ttl,
        )
        for place, entry in enumerate(extension.mpls, start=1)
    )


def _interface(interface: Interface) -> bytes:
    """Return the object: its C-Type says whose interface, and which parts follow (section 4.1)."""
    kind = _ROLES.index(interface.role) << 6
    parts = b""
    if interface.index is not None:
        kind |= 8
        parts += interface.index.to_bytes(4)
    if interface.address is not None:
        kind |= 4
        address = ipaddress.ip_address(interface.address)
        parts += struct.pack("!HH", _AFI[address.version], 0) + address.packed
    if interface.name is not None:
        kind |= 2
        name = interface.name.encode()
        length = (1 + len(name) + 3) // 4 * 4
        parts += bytes([length]) + name.ljust(length - 1, b"\0")
    if interface.mtu is not None:
        kind |= 1
        parts += interface.mtu.to_bytes(4)
    return _object(_INTERFACE, kind, parts)
