"""A network namespace without a name: a thread's own, gone with the thread and its sockets."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from lab.namespaces import LabError

_CLONE_NEWNET = 0x40000000

_T = TypeVar("_T")

_libc = ctypes.CDLL(None, use_errno=True)


class Apart:
    """`with Apart() as apart: sock = apart.do(open_socket)`; a socket stays where it was opened."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lab-apart", initializer=_leave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.shutdown()

    def do(self, work: Callable[[], _T]) -> _T:
        """What `work` returns, done inside."""
        return self._thread.submit(work).result()


def _leave() -> None:
    if _libc.unshare(_CLONE_NEWNET):
        code = ctypes.get_errno()
        raise LabError(f"cannot make a network namespace: {os.strerror(code)}")
