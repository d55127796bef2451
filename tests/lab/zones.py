"""A name server whose zones behave as bad ones do, for resolv.conf files of tests.

`python zones.py ADDRESS [NAME=ADDRESS]…`: names below `refused.test` are refused, `servfail.test`
fails, `silent.test` is not answered, `nx.test` does not exist. What else exists stands in `NAMES`,
or is given.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys

ADDRESS = "127.0.0.53"
NAMES = {
    "www.example": ["127.1.0.1"],
    "under_score.example": ["127.1.0.2"],
    "xn--strae-oqa.example": ["127.1.0.3"],
    "strasse.example": ["127.1.0.4"],
    "two.example": ["127.1.0.5", "fd00:5::5"],
    "inner.example": ["10.20.30.40"],
    "alone.corp.test": ["127.1.0.6"],
}
_A, _AAAA = 1, 28
_RCODES = {"refused.test": 5, "servfail.test": 2, "nx.test": 3}


def answer(query: bytes) -> bytes | None:
    """The answer to a question; None where there is to be none."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
        at += query[at] + 1
    question, (kind,) = query[12 : at + 5], struct.unpack_from("!H", query, at + 1)
    name = ".".join(labels).lower()
    if name.endswith(".silent.test"):
        return None
    code = next((code for zone, code in _RCODES.items() if name.endswith(f".{zone}")), None)
    if code is None:
        code = 0 if name in NAMES else 3
    records = b""
    count = 0
    for text in NAMES.get(name, []):
        address = ipaddress.ip_address(text)
        if kind == (_A if address.version == 4 else _AAAA):
            data = address.packed
            records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
            count += 1
    return query[:2] + struct.pack("!5H", 0x8580 | code, 1, count, 0, 0) + question + records


def main(address: str) -> None:
    """Answers until it is stopped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        print("ready", flush=True)
        while True:
            query, client = sock.recvfrom(2_048)
            reply = answer(query)
            if reply is not None:
                sock.sendto(reply, client)


if __name__ == "__main__":
    for record in sys.argv[2:]:
        NAMES[record.partition("=")[0]] = [record.partition("=")[2]]
    main(sys.argv[1])
