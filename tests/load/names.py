"""A name server on loopback that knows no name, so that no measurement waits for names."""

from __future__ import annotations

import socket
import threading

import dns.message
import dns.rcode


class NoNames:
    """Answers each query by NXDOMAIN, from a thread of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        """HOST:PORT for `--resolver`."""
        self._thread = threading.Thread(target=self._serve, name="name server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._socket.sendto(b"", self._socket.getsockname())  # ends the thread
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4_096)
            if not query:
                return
            answer = dns.message.make_response(dns.message.from_wire(query))
            answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), client)
