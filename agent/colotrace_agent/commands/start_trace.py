"""Start of `colotrace-agent trace`: checks its options, then traces with reduced privileges."""

import asyncio
import errno
import os
from pathlib import Path

from colotrace_proto.starting import require
from colotrace_proto.text import safe

from . import startup
from .startup import usage

# Descriptors beside the raw sockets: asyncio's and those of name look-ups.
_REQUIRED_FILES = 6


def start(
    targets: list[str],
    *,
    targets_file: Path | None,
    packet_type: str,
    max_ttl: int,
    packets_per_ttl: int,
    wait_s: float,
    port: int,
    multipath: bool,
    rate: float | None,
    names: bool,
    json: bool,
    fail_unreached: bool,
    allow_private: bool,
    user: str,
) -> int:
    """Check the options and trace; returns the exit code.

    Raises:
        StartError: this host cannot trace.
        OutputError: standard output cannot be written.
    """
    if not targets and targets_file is None:
        usage("give a TARGET, or --targets-file FILE")
    file = None if targets_file is None else _opened(targets_file)
    sockets, account = startup.open_sockets(user)
    require(files=_REQUIRED_FILES)
    startup.warn_of_rate(rate)

    from colotrace_proto.messages import PacketType
    from colotrace_proto.rows import Colo

    from colotrace_agent.engine.multipath.several import offered
    from colotrace_agent.packets.formats import PACKET_TYPES

    from . import preload
    from .trace import TraceSettings, trace

    known = offered(PACKET_TYPES)
    if packet_type not in known:
        usage(f"--packet-type {packet_type}: one of {', '.join(sorted(known))}")
    settings = TraceSettings(
        packet_type=PacketType(packet_type),
        max_ttl=max_ttl,
        packets_per_ttl=packets_per_ttl,
        wait_ms=round(wait_s * 1e3),
        port=port,
        multipath=multipath,
        rate=rate,
        sockets=sockets,
        allow_private=allow_private,
        names=names,
        json=json,
        fail_unreached=fail_unreached,
        colo=Colo(
            city=safe(os.environ.get("COLOTRACE_CITY", "")),
            name=safe(os.environ.get("COLOTRACE_COLO", "local")),
        ),
    )
    if account is not None:
        preload.for_names()
        if not json:
            preload.for_tables()
        if file is not None:
            preload.for_many()
    startup.ready(account)
    return asyncio.run(trace(targets, settings, file=file))


def _opened(file: Path) -> int:
    """A descriptor to read the file by."""
    if str(file) == "-":
        return 0
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        usage(f"--targets-file {file}: {error.strerror}")
