"""Start of `colotrace-agent trace`: checks its options, then traces with reduced privileges."""

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from colotrace_proto.starting import require
from colotrace_proto.text import safe

from . import startup
from .startup import AllowPrivate, Rate, User, usage

if TYPE_CHECKING:
    from colotrace_formats.formats import Format

# Descriptors beside the raw sockets: asyncio's and those of name look-ups.
_REQUIRED_FILES = 6


def start(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Host names, IPv4 or IPv6 addresses.", metavar="TARGET…"),
    ] = None,
    packet_type: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_PACKET_TYPE",
            help="icmp, udp, tcp, gre or gre+icmp.",
            metavar="TYPE",
        ),
    ] = "icmp",
    max_ttl: Annotated[
        int, typer.Option(envvar="COLOTRACE_MAX_TTL", min=1, max=64, help="Maximum number of hops.")
    ] = 15,
    packets_per_ttl: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_PACKETS_PER_TTL", min=1, max=10, help="Probes for each hop."
        ),
    ] = 3,
    wait_time: Annotated[
        float,
        typer.Option(
            envvar="COLOTRACE_WAIT_TIME",
            min=0.05,
            max=5,
            help="Maximum seconds to wait for a reply.",
        ),
    ] = 1,
    port: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_PORT",
            min=0,
            max=65_535,
            help="UDP, TCP: destination port; ICMP: first sequence number. 0: automatic.",
        ),
    ] = 0,
    multipath: Annotated[
        bool,
        typer.Option(
            "--multipath",
            envvar="COLOTRACE_MULTIPATH",
            help="Find load-balanced paths by tracing many flows.",
        ),
    ] = False,
    ipv4: Annotated[
        bool,
        typer.Option("--ipv4", "-4", envvar="COLOTRACE_IPV4", help="Use IPv4 addresses only."),
    ] = False,
    ipv6: Annotated[
        bool,
        typer.Option("--ipv6", "-6", envvar="COLOTRACE_IPV6", help="Use IPv6 addresses only."),
    ] = False,
    targets_file: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TARGETS_FILE", help="One target a line; - reads standard input."
        ),
    ] = None,
    rate: Rate = None,
    no_names: Annotated[
        bool,
        typer.Option("--no-names", envvar="COLOTRACE_NO_NAMES", help="Do not look up names."),
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            envvar="COLOTRACE_JSON",
            help="One line of JSON for each target, as it finishes; the same as --format json.",
        ),
    ] = False,
    format: Annotated[  # noqa: A002 - the flag's name
        str,
        typer.Option(
            "--format",
            envvar="COLOTRACE_FORMAT",
            help="json, csv, text, markdown, mtr, atlas, scamper, dot or html; by default a table.",
            metavar="NAME",
            show_default=False,
        ),
    ] = "",
    fail_unreached: Annotated[
        bool,
        typer.Option(
            "--fail-unreached",
            envvar="COLOTRACE_FAIL_UNREACHED",
            help="Exit with 1 also if a target did not answer.",
        ),
    ] = False,
    allow_private: AllowPrivate = False,
    user: User = "",
) -> None:
    """Trace from this host, without a coordinator.

    Exit code: 0 all targets were traced, answered or not; 1 some could not be traced, or, with
    --fail-unreached, did not answer; 2 wrong usage or missing privileges; 74 standard output cannot
    be written; 130 interrupted; 141 the reader of standard output has gone.
    """
    if not targets and targets_file is None:
        usage("give a TARGET, or --targets-file FILE")
    if ipv4 and ipv6:
        usage("give --ipv4 or --ipv6, not both")
    written = _format(format, json=json)
    file = None if targets_file is None else _opened(targets_file)
    sockets, account = startup.open_sockets(user)
    require(files=_REQUIRED_FILES)
    startup.warn_of_rate(rate)

    from colotrace_proto.messages import MAX_REMAINING_MS, Family, Job, JobId, PacketType
    from colotrace_proto.rows import Colo

    from colotrace_agent.engine.multipath.several import offered
    from colotrace_agent.packets.formats import PACKET_TYPES

    from . import preload
    from .trace import TraceSettings, trace

    known = offered(PACKET_TYPES)
    if packet_type not in known:
        usage(f"--packet-type {packet_type}: one of {', '.join(sorted(known))}")
    settings = TraceSettings(
        job=Job(
            job_id=JobId(""),
            target="",
            packet_type=PacketType(packet_type),
            max_ttl=max_ttl,
            packets_per_ttl=packets_per_ttl,
            wait_ms=round(wait_time * 1e3),
            port=port,
            flow=0,
            remaining_ms=MAX_REMAINING_MS,
            multipath=multipath,
            family=Family.IPV4 if ipv4 else Family.IPV6 if ipv6 else None,
        ),
        rate=rate,
        sockets=sockets,
        allow_private=allow_private,
        names=not no_names,
        json=json or format == "json",
        format=written,
        fail_unreached=fail_unreached,
        colo=Colo(
            city=safe(os.environ.get("COLOTRACE_CITY", "")),
            name=safe(os.environ.get("COLOTRACE_COLO", "local")),
        ),
    )
    if account is not None:
        preload.for_names()
        if written is not None:
            preload.for_format(written)
        elif not settings.json:
            preload.for_tables()
        if file is not None:
            preload.for_many()
    startup.ready(account)
    sys.exit(asyncio.run(trace(targets or [], settings, file=file)))


def _format(name: str, *, json: bool) -> "Format | None":
    """The format of that name; None for a table or lines of JSON."""
    if not name or name == "json":
        return None
    from colotrace_formats.formats import FORMATS

    if name not in FORMATS:
        usage(f"--format {name}: one of {', '.join(FORMATS)}")
    if json:
        usage(f"--json and --format {name}: give one of them")
    return FORMATS[name]


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
