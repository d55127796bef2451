"""Presences of agents that are not known as enrolled: kept a while, since an agent may announce
itself before this coordinator has read that it has enrolled."""

from collections.abc import Callable, Iterator

from colotrace_proto.bus import Process

MOST = 1_000


class Strangers:
    """The last presence of each process, until it expires. Times are seconds on one clock."""

    def __init__(self) -> None:
        self._kept: dict[Process, tuple[bytes, float]] = {}

    def keep(self, process: Process, content: bytes, expires_at: float) -> bool:
        """Keep a presence; empty `content` says that the process is gone. Whether the process is
        new. Beyond `MOST`, the one that was kept first is dropped."""
        known = self._kept.pop(process, None) is not None
        if content:
            self._kept[process] = content, expires_at
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return bool(content) and not known

    def admitted(
        self, counts: Callable[[Process], bool], now: float
    ) -> Iterator[tuple[Process, bytes, float]]:
        """Take out the presences of agents that count by now, each with the time at which it
        expires. Expired ones are dropped."""
        for process, (content, expires_at) in list(self._kept.items()):
            if expires_at <= now:
                del self._kept[process]
            elif counts(process):
                del self._kept[process]
                yield process, content, expires_at
