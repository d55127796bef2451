"""Which of the host's links a link-local address is of: by itself it is ambiguous (RFC 4007)."""

import os
import socket


def zone_label(index: int) -> str:
    """`%eth0` for the interface of that index; `%7` where there is no such interface any more.

    What is not plain ASCII in a name comes as %XX, byte by byte.
    """
    try:
        name = os.fsencode(socket.if_indextoname(index))
    except OSError:
        return f"%{index}"
    plain = (chr(c) if 0x21 <= c <= 0x7E and c != ord("%") else f"%{c:02X}" for c in name)
    return f"%{''.join(plain)}"
