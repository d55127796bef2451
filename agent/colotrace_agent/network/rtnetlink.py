"""Requests to the kernel about addresses, routes, rules and neighbours, by rtnetlink(7).

The agent needs only a few messages of fixed layout. The netlink library pyroute2 runs an event loop
of its own and takes more memory than the rest of the agent.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from colotrace_proto.messages import Family

from colotrace_agent.model import family_of

# linux/netlink.h
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP, _DUMP_INTERRUPTED = 0x1, 0x300, 0x10
_TYPE_MASK = 0x3FFF  # an attribute's type without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_LARGEST = 65_536  # more than any message of a dump
_ANSWER_S = 0.5
_DUMP_TRIES = 3
_AT_ONCE = 64  # requests whose answers fit into the socket's buffer
_READ_AT_ONCE = 4_096

# linux/rtnetlink.h
GET_ROUTE = 26
_ROUTE_DESTINATION, _ROUTE_SOURCE, _ROUTE_INTERFACE, _ROUTE_GATEWAY = 1, 2, 4, 5
_ROUTE_PREFERRED_SOURCE, _ROUTE_VIA = 7, 18

ROUTE = struct.Struct("=8BI")
"""struct rtmsg: family, prefix lengths of destination and source, TOS, table, protocol, scope, type
and flags."""

FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
"""The kernel's numbers of the families."""


class Route(NamedTuple):
    """The kernel's route: its type (RTN_…), interface, gateway, gateway of the other family, and
    source address. Missing attributes are empty."""

    kind: int
    interface: int
    gateway: bytes
    via: bytes
    source: bytes

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Parse the answer to a `route_question`."""
        known = dict(attributes(body[ROUTE.size :]))
        return cls(
            ROUTE.unpack_from(body)[7],
            int.from_bytes(known.get(_ROUTE_INTERFACE, b""), sys.byteorder),
            known.get(_ROUTE_GATEWAY, b""),
            known.get(_ROUTE_VIA, b"")[2:],  # after the number of its family
            known.get(_ROUTE_PREFERRED_SOURCE, b""),
        )


def route_question(target: bytes, *, source: bytes = b"", flags: int = 0) -> bytes:
    """The body of a GET_ROUTE request; further attributes may follow. Without a `source`, the
    kernel chooses it."""
    family = FAMILIES[family_of(target)]
    question = ROUTE.pack(family, len(target) * 8, len(source) * 8, 0, 0, 0, 0, 0, flags)
    question += attribute(_ROUTE_DESTINATION, target)
    return question + attribute(_ROUTE_SOURCE, source) if source else question


class Kernel:
    """A socket for requests. Each request is answered before the next one.

    Raises:
        OSError: the kernel or a sandbox does not provide rtnetlink.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sock.settimeout(_ANSWER_S)
        self.sequence = 0
        """The 32-bit number of the last batch of requests."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()

    def ask(self, kind: int, question: bytes) -> bytes:
        """The body of the answer to one request.

        Raises:
            OSError: the kernel answered with an errno.
        """
        (answer,) = self.ask_all(kind, [question])
        if isinstance(answer, OSError):
            raise answer
        return answer

    def ask_all(self, kind: int, questions: Sequence[bytes]) -> list[bytes | OSError]:
        """The bodies of the answers to requests of one type, in order. If the kernel refuses a
        request, its answer is an OSError.

        Raises:
            OSError: the kernel does not answer at all.
        """
        answers: list[bytes | OSError] = []
        for first in range(0, len(questions), _AT_ONCE):
            batch = questions[first : first + _AT_ONCE]
            self.send(kind, batch)
            while len(answers) < first + len(batch):
                answers += [
                    _error(body) if found == _ERROR else body for found, _, body in self.receive()
                ]
        return answers

    def send(self, kind: int, questions: Sequence[bytes], *, flags: int = 0) -> None:
        """Send requests with one sequence number, which their answers have, too."""
        self.sequence = (self.sequence + 1) % (1 << 32)
        self._sock.send(
            b"".join(
                _MESSAGE.pack(_MESSAGE.size + len(each), kind, _REQUEST | flags, self.sequence, 0)
                + each
                for each in questions
            )
        )

    def receive(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and body of the next messages. Late answers to abandoned requests are
        ignored."""
        for kind, flags, sequence, body in _parts(self._sock.recv(_LARGEST)):
            if sequence == self.sequence:
                yield kind, flags, body


class Changes:
    """A subscription to changes, by multicast groups (RTNLGRP_…).

    The content of notifications is ignored, since callers read the whole state again. A
    notification that was lost for lack of buffer (ENOBUFS) therefore counts like any other.

    Raises:
        OSError: see `Kernel`.
    """

    def __init__(self, groups: Sequence[int]) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._sock = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        # An unbound socket gets no notifications.
        self._sock.bind((0, 0))
        for group in groups:
            self._sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        """Readable when something has changed."""
        return self._sock.fileno()

    def seen(self) -> bool:
        """Whether something has changed since the last call."""
        changed = False
        for _ in range(_READ_AT_ONCE):
            try:
                self._sock.recv(1)  # the rest of the notification is dropped
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
            changed = True
        return changed

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()


def dump(kind: int, question: bytes, *, most: int) -> list[bytes] | None:
    """The bodies of all entries. None if there are more than `most`, or if they changed during each
    of several attempts.

    Raises:
        OSError: the kernel refuses.
    """
    for _ in range(_DUMP_TRIES):
        entries: list[bytes] = []
        found = seen = 0
        with Kernel() as kernel:  # closing the socket ends a dump
            kernel.send(kind, [question], flags=_DUMP)
            while found != _DONE:
                for found, flags, body in kernel.receive():
                    seen |= flags
                    if found == _ERROR:
                        raise _error(body)
                    if found != _DONE:
                        entries.append(body)
                if len(entries) > most:
                    return None
        if not seen & _DUMP_INTERRUPTED:
            return entries
    return None


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded (struct rtattr)."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes after the fixed part of a message."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind & _TYPE_MASK, data[_ATTRIBUTE.size : length]
        data = data[(max(length, _ATTRIBUTE.size) + 3) & ~3 :]


def _parts(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence and body of each message in one datagram."""
    while len(data) >= _MESSAGE.size:
        length, kind, flags, sequence, _ = _MESSAGE.unpack_from(data)
        if length < _MESSAGE.size:
            return
        yield kind, flags, sequence, data[_MESSAGE.size : length]
        data = data[(length + 3) & ~3 :]


def _error(body: bytes) -> OSError:
    number = -int(struct.unpack_from("=i", body)[0])
    return OSError(number, os.strerror(number))
