"""The internet checksum (RFC 1071), by arithmetic modulo 0xffff.

2^16 is congruent to 1, so 16-bit words have the same remainder as the long number that they form
together, and Python divides long numbers in C.
"""

MODULUS = 0xFFFF


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """The ones' complement sum of the data's 16-bit words, 0 to 0xfffe; odd data is padded."""
    number = int.from_bytes(data, "big")
    return (number << 8 if len(data) % 2 else number) % MODULUS


def checksum(total: int) -> int:
    """The checksum field for a packet whose other fields have the sum `total`."""
    return (MODULUS - total) % MODULUS


def pseudo_header(source: bytes, target: bytes, *, protocol: int, length: int) -> bytes:
    """The pseudo header of UDP, TCP and ICMPv6 (RFC 768, RFC 8200 section 8.1).

    IPv4 and IPv6 order its fields differently, but the sum is the same.
    """
    return source + target + length.to_bytes(4, "big") + protocol.to_bytes(4, "big")
