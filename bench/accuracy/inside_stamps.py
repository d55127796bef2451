"""Echo requests with kernel time stamps at both ends, which show the limit of the method.

Run by `stamps.Stamps` through `driver.Driver`, with the standard library only. Each request is a
number of rounds of probes. The answer has the sequence number and both stamps of each probe, in
nanoseconds of the wall clock.
"""

import json
import select
import socket
import struct
import sys
import time
from typing import Any

_SO_TIMESTAMPING, _SO_TIMESTAMPNS = 37, 35
_SOL_RAW, _ICMP_FILTER = 255, 1
# linux/net_tstamp.h: software send time stamps, numbered by the socket, without the packet.
_FLAGS = (1 << 1) | (1 << 4) | (1 << 7) | (1 << 11)
_WAIT_MS = 500
_TIMESPEC = struct.Struct("qq")


def _ns(data: bytes) -> int:
    seconds, rest = _TIMESPEC.unpack_from(data)
    return int(seconds * 1_000_000_000 + rest)


def _echo(sequence: int) -> bytes:
    header = struct.pack("!BBHHH", 8, 0, 0, 0x5354, sequence)
    total = sum(struct.unpack("!4H", header))
    return header[:2] + struct.pack("!H", ~(total % 0xFFFF) & 0xFFFF) + header[4:]


class Pair:
    """A sending and a receiving socket; stamps are matched by sequence number."""

    def __init__(self, target: str) -> None:
        self._target = (target, 0)
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._sender.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _FLAGS)
        # Receive nothing, since packets would take the buffer of its stamps.
        self._sender.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", 0xFFFFFFFF))
        self._hearer = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._hearer.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._poll = select.poll()
        self._poll.register(self._hearer, select.POLLIN)
        self._sequence = 0

    def round(self, probes: int) -> list[list[int]]:
        """[sequence, sent, received] of each of the probes."""
        first = self._sequence
        for number in range(first, first + probes):
            self._sender.sendto(_echo(number % 65_536), self._target)
        self._sequence += probes
        received: dict[int, int] = {}
        while len(received) < probes and self._poll.poll(_WAIT_MS):
            packet, ancillary, _, _ = self._hearer.recvmsg(256, 64)
            kind, identifier, sequence = packet[20], *struct.unpack_from("!HH", packet, 24)
            if kind == 0 and identifier == 0x5354:
                received[sequence] = _ns(ancillary[0][2])
        sent = self._sent(probes)
        return [
            [number % 65_536, sent[number], received[number % 65_536]]
            for number in range(first, first + probes)
            if number in sent and number % 65_536 in received
        ]

    def _sent(self, probes: int) -> dict[int, int]:
        sent: dict[int, int] = {}
        for _ in range(probes):
            try:
                _, ancillary, _, _ = self._sender.recvmsg(8, 256, socket.MSG_ERRQUEUE)
            except BlockingIOError:
                break
            stamp, error = sorted(ancillary, key=lambda each: each[0] != socket.SOL_SOCKET)
            # The number is at the end of struct sock_extended_err.
            sent[struct.unpack_from("=I", error[2], 12)[0]] = _ns(stamp[2])
        return sent


def main() -> None:
    """Handle requests until the input ends."""
    pairs: dict[str, Pair] = {}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if asked["target"] not in pairs:
            pairs[asked["target"]] = Pair(asked["target"])
        pair = pairs[asked["target"]]
        stamps = []
        for _ in range(asked["times"]):
            time.sleep(asked["pause_s"])
            stamps += pair.round(asked["probes"])
        print(json.dumps({"stamps": stamps}), flush=True)


if __name__ == "__main__":
    main()
