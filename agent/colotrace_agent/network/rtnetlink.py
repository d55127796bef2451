"""Requests to the kernel about addresses, routes, rules and neighbours, by rtnetlink(7).

The agent needs only a few messages of fixed layout. The netlink library pyroute2 runs an event loop
of its own and takes more memory than the rest of the agent.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from colotrace_proto.messages import Family

# linux/netlink.h
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP, _DUMP_INTERRUPTED = 0x1, 0x300, 0x10
_TYPE_MASK = 0x3FFF  # an attribute's type without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_LAST_SEQUENCE = 0xFFFF_FFFF
_LARGEST = 65_536  # more than any message of a dump
_ANSWER_S = 0.5
_DUMP_TRIES = 3
_READ_AT_ONCE = 4_096

FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
"""The kernel's numbers of the families."""


class Message(NamedTuple):
    """A message: its type RTM_…, and its body without the header."""

    kind: int
    body: bytes


class Kernel:
    """A socket for requests. Each request is answered before the next one.

    Raises:
        OSError: the kernel or a sandbox does not provide rtnetlink.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sock.settimeout(_ANSWER_S)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()

    def ask(self, kind: int, question: bytes) -> Message:
        """The answer to one request.

        Raises:
            OSError: the kernel answered with an errno.
        """
        (answer,) = self.ask_all(kind, [question])
        if isinstance(answer, OSError):
            raise answer
        return answer

    def ask_all(self, kind: int, questions: Sequence[bytes]) -> list[Message | OSError]:
        """The answers to several requests of one type, in order. If the kernel refuses a request,
        its answer is an OSError. Send at most about a hundred requests, so that the answers fit
        into the socket's buffer.

        Raises:
            OSError: the kernel does not answer at all.
        """
        first = self._next(len(questions))
        sent = b"".join(
            _MESSAGE.pack(_MESSAGE.size + len(each), kind, _REQUEST, first + at, 0) + each
            for at, each in enumerate(questions)
        )
        self._sock.send(sent)
        answers: list[Message | OSError] = []
        while len(answers) < len(questions):
            for found, _, sequence, body in _parts(self._sock.recv(_LARGEST)):
                if sequence != first + len(answers):
                    continue  # a late answer to an abandoned request
                answers.append(_error(body) if found == _ERROR else Message(found, body))
        return answers

    def _next(self, count: int) -> int:
        """The first of `count` new sequence numbers of 32 bits; `_sequence` is the last one."""
        if self._sequence + count > _LAST_SEQUENCE:
            self._sequence = 0
        self._sequence += count
        return self._sequence - count + 1

    def dump(self, kind: int, question: bytes, *, most: int) -> list[bytes] | None:
        """The bodies of all entries. None if there are more than `most`, or if they changed during
        each of several attempts.

        Raises:
            OSError: the kernel refuses.
        """
        for _ in range(_DUMP_TRIES):
            entries, whole = self._dump(kind, question, most=most)
            if whole:
                return entries
            if len(entries) > most:
                break
        return None

    def _dump(self, kind: int, question: bytes, *, most: int) -> tuple[list[bytes], bool]:
        self._next(1)
        header = _MESSAGE.pack(
            _MESSAGE.size + len(question), kind, _REQUEST | _DUMP, self._sequence, 0
        )
        self._sock.send(header + question)
        entries: list[bytes] = []
        interrupted = False
        while True:
            for found, flags, sequence, body in _parts(self._sock.recv(_LARGEST)):
                if sequence != self._sequence:
                    continue
                interrupted |= bool(flags & _DUMP_INTERRUPTED)
                if found == _DONE:
                    return entries, not interrupted
                if found == _ERROR:
                    raise _error(body)
                entries.append(body)
            if len(entries) > most:
                self._abandon_dump()
                return entries, False

    def _abandon_dump(self) -> None:
        """Open a new socket, since the kernel ends a dump when its socket is closed."""
        self._sock.close()
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sock.settimeout(_ANSWER_S)


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
