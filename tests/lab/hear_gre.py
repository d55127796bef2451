"""Sends GRE packets to its own host, and says which of them the agent's taps hear.

Run as `python hear_gre.py HEX…`: each word one message from the GRE header on, sent over both
families. Prints a line of JSON for each family: the words that were heard, in order.
"""

import json
import socket
import struct
import sys

from colotrace_agent.network.sockets import open_all, park, unpark
from colotrace_proto.messages import Family, PacketType

PROTOCOL = 47
LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}


def outside(family: Family, message: bytes) -> bytes:
    """The message in a packet from loopback to loopback."""
    if family is Family.IPV4:
        own = socket.inet_pton(socket.AF_INET, LOOPBACK[family])
        length = 20 + len(message)
        return struct.pack("!BBHHHBBH", 0x45, 0, length, 1, 0, 9, PROTOCOL, 0) + own + own + message
    own = socket.inet_pton(socket.AF_INET6, LOOPBACK[family])
    return struct.pack("!IHBB", 6 << 28, len(message), PROTOCOL, 9) + own + own + message


def main() -> None:
    """Sends, and hears; over loopback a packet has arrived when sending it returns."""
    messages = [bytes.fromhex(word) for word in sys.argv[1:]]
    sockets = open_all()
    for family, sender in sockets.senders.items():
        tap = sockets.receivers[family, PacketType.GRE]
        unpark(tap)
        for message in messages:
            sender.sendto(outside(family, message), (LOOPBACK[family], 0))
        # Parked, it hears no more, and what it has heard is still there to read.
        park(tap)
        heard = []
        for _ in messages:
            try:
                packet = tap.recv(4_096)
            except BlockingIOError:
                break
            heard.append(packet[20 if family is Family.IPV4 else 0 :].hex())
        print(json.dumps(heard))
    sockets.close()


if __name__ == "__main__":
    main()
