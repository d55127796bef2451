"""The internet checksum (RFC 1071), by arithmetic modulo 0xffff.

2^16 leaves remainder 1 there, so a string of 16-bit words has the same remainder as the one
long number that it also is, and Python divides long numbers in C.
"""

MODULUS = 0xFFFF


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """The ones' complement sum of the data's 16-bit words, 0 to 0xfffe; odd data is padded."""
    number = int.from_bytes(data, "big")
    return (number << 8 if len(data) % 2 else number) % MODULUS


def checksum(total: int) -> int:
    """What to write so that a sum of `total`, with it, comes out as all ones."""
    return (MODULUS - total) % MODULUS


def pseudo_header(source: bytes, target: bytes, *, protocol: int, length: int) -> bytes:
    """What UDP, TCP and ICMPv6 sum in front of themselves (RFC 768, RFC 8200 section 8.1).

    The fields lie differently for IPv4 and IPv6, but sum to the same.
    """
    return source + target + length.to_bytes(4, "big") + protocol.to_bytes(4, "big")
