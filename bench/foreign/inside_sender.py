"""Opens the foreign connections and sends their traffic. A `bench.driver` process.

Arguments: the pacing program, the device, the link address and the IP address of the host. Each
request opens connections to a port and sends traffic on them. Half of the frames are segments of
data that the host has already received (ACK and PSH), half are bare ACKs. They belong to real
connections, so the host sends no resets; it only acknowledges repeated data.
"""

import json
import socket
import struct
import subprocess
import sys
from typing import Any

# linux/tcp.h; not in Python's socket module.
_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ = 19, 20, 21
_OFF_WITHOUT_PROBE, _RECEIVED, _SENT = -1, 1, 2
_ACK, _PSH = 0x10, 0x08
_SIZE = 100
_CONNECTIONS = 32


class Sender:
    """Holds the connections."""

    def __init__(self, pace: str, device: str, link_address: str, host: str) -> None:
        self._pace, self._device, self._host = pace, device, host
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
            packets.bind((device, 0))
            own = packets.getsockname()[4]
        self._ethernet = bytes.fromhex(link_address.replace(":", "")) + own + b"\x08\x00"
        self._connections: dict[int, list[socket.socket]] = {}

    def connect(self, port: int) -> list[bytes]:
        """Open connections to a port; returns frames for them."""
        kept = self._connections.setdefault(port, [])
        while len(kept) < _CONNECTIONS:
            kept.append(socket.create_connection((self._host, port), timeout=5))
            kept[-1].sendall(bytes(_SIZE))
        return [frame for each in kept for frame in self._frames(each)]

    def send(self, port: int, rate: int, seconds: float) -> dict[str, Any]:
        """Send traffic for `seconds`."""
        frames = self.connect(port)
        head = f"{len(frames)} {len(frames[0])}\n".encode()
        done = subprocess.run(
            [self._pace, self._device, str(rate), str(seconds)],
            input=head + b"".join(frames),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            return {"error": f"pace: {done.stderr.decode().strip()}"}
        sent, took_s = done.stdout.split()
        return {"sent": int(sent), "took_s": float(took_s)}

    def _frames(self, connection: socket.socket) -> list[bytes]:
        next_out, next_in = _numbers(connection)
        return [
            self._ethernet + _packet(connection, next_out - _SIZE, next_in, _ACK | _PSH, _SIZE),
            # Padded to the same length; the padding is after the packet and is ignored.
            self._ethernet + _packet(connection, next_out, next_in, _ACK, 0) + bytes(_SIZE),
        ]


def _numbers(connection: socket.socket) -> tuple[int, int]:
    """The next sequence numbers to send and to receive."""
    connection.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    found = []
    for queue in (_SENT, _RECEIVED):
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, queue)
        found.append(connection.getsockopt(socket.IPPROTO_TCP, _TCP_QUEUE_SEQ) & 0xFFFF_FFFF)
    connection.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, _OFF_WITHOUT_PROBE)
    return found[0], found[1]


def _packet(connection: socket.socket, number: int, ack: int, flags: int, size: int) -> bytes:
    (source, source_port), (to, port) = connection.getsockname(), connection.getpeername()
    addresses = socket.inet_aton(source) + socket.inet_aton(to)
    tcp = struct.pack(
        ">HHIIBBHHH", source_port, port, number & 0xFFFF_FFFF, ack, 5 << 4, flags, 500, 0, 0
    ) + bytes(size)
    pseudo = addresses + struct.pack(">HH", socket.IPPROTO_TCP, len(tcp))
    tcp = tcp[:16] + _checksum(pseudo + tcp) + tcp[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0)
    ip += addresses
    return ip[:10] + _checksum(ip) + ip[12:] + tcp


def _checksum(data: bytes) -> bytes:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def main() -> None:
    """Handle requests until the input ends."""
    sender = Sender(*sys.argv[1:])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(sender.send(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
