"""The entry of `colotrace-agent`.

Nothing that starts a thread is imported before privileges have been given up: capabilities
belong to threads, and one that was already there would keep its own. Nothing is imported after the
process has changed its user, who may not be able to read the installation.
"""

import asyncio
import errno
import gc
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from colotrace_proto.descriptors import raise_limit
from colotrace_proto.output import say
from colotrace_proto.starting import install_line, require
from colotrace_proto.text import safe

from .errors import PrivilegeError, StartError
from .host import privileges
from .host.accounts import Account
from .network.sockets import HOW_TO_ALLOW, WHY_REFUSED, RawSockets, open_all

if TYPE_CHECKING:
    from .commands.run import BrokerSettings

app = typer.Typer(
    name="colotrace-agent",
    help="Sends traceroute probes from this host, for a coordinator or by itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        envvar="COLOTRACE_ALLOW_PRIVATE",
        help="Trace private, loopback and other non-public addresses too.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        envvar="COLOTRACE_RATE",
        min=1,
        max=10_000_000,
        help="Packets a second, over all traces and to the nearest routers; 5,000 and 1,000 by "
        "default. What one target gets stays limited.",
        show_default=False,
    ),
]

User = Annotated[
    str,
    typer.Option(
        "--user",
        envvar="COLOTRACE_USER",
        metavar="NAME|UID",
        help="Started by root, become this user once the sockets are open; by default "
        "colotrace-agent if the host has that user, else a number that no user has.",
        show_default=False,
    ),
]

# Descriptors beside the raw sockets (asyncio's, name look-ups'); for `run` also gRPC's threads.
_TRACE_TAKES = 6
_RUN_TAKES = {"files": 16, "threads": 16, "address_space": 256 << 20}


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(_installed())
        raise typer.Exit


@app.command()
def run(
    colo: Annotated[
        str,
        typer.Option(envvar="COLOTRACE_COLO", help="This place's name: code and number, den01."),
    ],
    city: Annotated[
        str, typer.Option(envvar="COLOTRACE_CITY", help='Where that is: "Denver, CO, US".')
    ],
    coordinator: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_COORDINATOR",
            help="Where the coordinator listens for agents; not needed with --mqtt.",
            metavar="HOST:PORT",
        ),
    ] = "",
    agent_id: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_AGENT_ID",
            help="This host's name in the fleet.",
            show_default="HOSTNAME.COLO",
        ),
    ] = "",
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", envvar="COLOTRACE_INSECURE", help="Talk to the coordinator without TLS."
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_CERT", help="This agent's certificate (PEM).", dir_okay=False
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="COLOTRACE_TLS_KEY", help="Its key (PEM).", dir_okay=False)
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_CA",
            help="Who signed the coordinator's certificate (PEM).",
            dir_okay=False,
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_MQTT",
            metavar="URL",
            help="MQTT 5 broker where jobs come from, of any number of coordinators: "
            "mqtts://[USER:PASSWORD@]HOST[:PORT]. Other users of this host see a flag (in ps): "
            "prefer the variable.",
        ),
    ] = None,
    mqtt_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_MQTT_CA",
            help="Who signed the broker's certificate (PEM); else --tls-ca.",
            dir_okay=False,
        ),
    ] = None,
    max_jobs: Annotated[
        int, typer.Option(envvar="COLOTRACE_MAX_JOBS", min=1, max=10_000, help="Jobs at once.")
    ] = 1_000,
    rate: Rate = None,
    allow_private: AllowPrivate = False,
    user: User = "",
) -> None:
    """Stay attached to a coordinator and trace what it asks for."""
    from colotrace_proto.identifiers import (
        is_address,
        is_colo_name,
        is_identifier,
        with_ascii_host,
    )

    colo = colo.lower()
    coordinator = with_ascii_host(coordinator)
    agent_id = agent_id or f"{_hostname()}.{colo}"
    if not is_colo_name(colo):
        _usage(f"--colo {colo}: a colo is 3 to 8 letters and a number, like den01")
    if not is_identifier(agent_id):
        _usage(f"--agent-id {agent_id}: 1 to 64 letters, digits, dots, dashes, underscores")
    if not mqtt and not coordinator:
        _usage("give --coordinator HOST:PORT, or --mqtt URL")
    if coordinator and not is_address(coordinator):
        _usage(f"--coordinator {coordinator}: give HOST:PORT, an IPv6 address in brackets")
    files = (tls_cert, tls_key, tls_ca)
    if not insecure:
        if None in files:
            _usage(
                "give --tls-cert, --tls-key and --tls-ca, or --insecure to talk to the "
                "coordinator without TLS"
            )
        for file in files:
            if file is not None and not os.access(file, os.R_OK):
                _usage(f"{file} cannot be read")
    sockets, account = _open_sockets(user)
    require(**_RUN_TAKES)
    _warn_of_rate(rate)
    cert, key, authority = files
    broker = tls = None
    if mqtt:
        broker_files = (mqtt_ca or authority, cert, key)
        broker = _broker(mqtt, broker_files, insecure=insecure)

    from colotrace_proto.messages import AgentId, ColoName

    from . import log
    from .commands import preload
    from .commands.run import RunSettings, run
    from .link.tls import Tls

    log.set_up()
    if cert and key and authority and not insecure:
        tls = Tls(certificate=cert, key=key, authority=authority)
        tls.read()  # while root may still read them
    settings = RunSettings(
        coordinator=coordinator,
        mqtt=broker,
        agent_id=AgentId(agent_id),
        colo=ColoName(colo),
        city=safe(city),
        tls=tls,
        allow_private=allow_private,
        max_jobs=max_jobs,
        rate=rate,
        sockets=sockets,
        version=_installed(),
    )
    if account is not None:
        preload.for_names()
        if broker is not None:
            preload.for_broker()
        if tls is not None:
            preload.for_tls()
    _ready(account)
    asyncio.run(run(settings))


@app.command()
def trace(
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
        int, typer.Option(envvar="COLOTRACE_MAX_TTL", min=1, max=64, help="Hops at most.")
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
            help="Seconds to wait for an answer at most.",
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
            help="Find the load-balanced paths, by many flows.",
        ),
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
        typer.Option("--no-names", envvar="COLOTRACE_NO_NAMES", help="Do not look names up."),
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            envvar="COLOTRACE_JSON",
            help="One line of JSON a target, as it finishes.",
        ),
    ] = False,
    fail_unreached: Annotated[
        bool,
        typer.Option(
            "--fail-unreached",
            envvar="COLOTRACE_FAIL_UNREACHED",
            help="Exit with 1 where a target did not answer, too.",
        ),
    ] = False,
    allow_private: AllowPrivate = False,
    user: User = "",
) -> None:
    """Trace from this host, without a coordinator.

    Exit status: 0 all traced, whether they answered or not; 1 some could not be traced, with
    --fail-unreached also some did not answer; 2 wrong usage or missing rights; 74 standard output
    cannot be written; 130 interrupted; 141 its reader has gone.
    """
    if not targets and targets_file is None:
        _usage("give a TARGET, or --targets-file FILE")
    file = None if targets_file is None else _opened(targets_file)
    sockets, account = _open_sockets(user)
    require(files=_TRACE_TAKES)
    _warn_of_rate(rate)

    from colotrace_proto.messages import PacketType
    from colotrace_proto.rows import Colo

    from .commands import preload
    from .commands.trace import TraceSettings
    from .commands.trace import trace as trace_all
    from .engine.multipath.several import offered
    from .packets.writer import PACKET_TYPES

    known = offered(PACKET_TYPES)
    if packet_type not in known:
        _usage(f"--packet-type {packet_type}: one of {', '.join(sorted(known))}")
    settings = TraceSettings(
        packet_type=PacketType(packet_type),
        max_ttl=max_ttl,
        packets_per_ttl=packets_per_ttl,
        wait_ms=round(wait_time * 1e3),
        port=port,
        multipath=multipath,
        rate=rate,
        sockets=sockets,
        allow_private=allow_private,
        names=not no_names,
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
    _ready(account)
    sys.exit(asyncio.run(trace_all(targets or [], settings, file=file)))


@app.command()
def check(
    json: Annotated[
        bool, typer.Option("--json", envvar="COLOTRACE_JSON", help="One object of JSON.")
    ] = False,
) -> None:
    """Tell whether this host can trace well, and what to do where it cannot.

    Exit status: 0 it can trace (warnings or not), 1 it cannot.
    """
    from .host.diagnosis import ruleset

    # The rules are read while there may be the right to; all else is looked at with the agent's.
    rules = ruleset.read()
    lacking, account = "", None
    try:
        account = privileges.reduce()
    except PrivilegeError as error:
        lacking = str(error)

    from .commands.check import check as check_host

    privileges.finish(account)
    sys.exit(check_host(lacking=lacking, ruleset=rules, json=json))


def main() -> None:
    """Runs the command line."""
    gc.disable()  # nothing that is imported is garbage
    try:
        app()
    except StartError as error:
        say(f"colotrace-agent: {error}")
        sys.exit(2)


def _ready(account: Account | None) -> None:
    """Everything is imported and every file is open: gives up what that took.

    What there is by now stays for good, and need not be looked through by the garbage collector.
    """
    privileges.finish(account)
    gc.freeze()
    gc.enable()


def _broker(
    url: str, files: tuple[Path | None, Path | None, Path | None], *, insecure: bool
) -> "BrokerSettings":
    """The broker, of which the files are for TLS: authority, certificate, key."""
    try:
        from colotrace_proto.mqtt import BrokerTls, ChoiceError, chosen
    except ModuleNotFoundError as error:
        _usage(f"--mqtt needs the Python package {error.name!r}; run: {install_line('mqtt')}")
    from .commands.run import BrokerSettings

    authority, certificate, key = files
    given = BrokerTls(authority=authority, certificate=certificate, key=key)
    try:
        broker, tls = chosen(url, given, insecure=insecure)
    except ChoiceError as error:
        _usage(str(error))
    return BrokerSettings(broker=broker, tls=tls)


def _opened(file: Path) -> int:
    """A descriptor to read it by."""
    if str(file) == "-":
        return 0
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        _usage(f"--targets-file {file}: {error.strerror}")


def _warn_of_rate(rate: float | None) -> None:
    if rate is not None:
        say(
            f"colotrace-agent: --rate {rate:g} replaces the limits that spare the network: routers "
            "that limit their answers will seem to lose packets"
        )


def _open_sockets(user: str) -> tuple[RawSockets, Account | None]:
    """The sockets, whose buffers take rights, and who to become in `_ready`; gives up all rights
    but to raw packets and what that takes."""
    raise_limit()
    privileges.require_net_raw()
    try:
        sockets = open_all()
    except PermissionError as error:
        raise PrivilegeError(
            f"raw sockets are refused ({error.strerror}), {WHY_REFUSED}; {HOW_TO_ALLOW}"
        ) from error
    if not sockets.senders:
        raise PrivilegeError("the kernel has no raw sockets, of IPv4 or IPv6: boot one that has")
    return sockets, privileges.reduce(user)


def _installed() -> str:
    from importlib.metadata import version

    return version("colotrace")


def _hostname() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", platform.node())[:50] or "host"


def _usage(message: str) -> NoReturn:
    say(f"colotrace-agent: {message}")
    raise typer.Exit(2)
