"""Start of `colotrace-agent run`: checks its options, then serves with reduced privileges."""

import asyncio
import os
import platform
import re
import secrets
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from colotrace_proto.output import say
from colotrace_proto.starting import require
from colotrace_proto.text import safe

from colotrace_agent.errors import StartError

from . import startup
from .brokers import broker_tls_context, chosen_broker
from .startup import AllowPrivate, Rate, User, usage

if TYPE_CHECKING:
    from colotrace_proto.locations import Location as Place
    from colotrace_proto.tags import Tag

    from colotrace_agent.enrolment.state import Settings, StateDirectory

# Needed besides the raw sockets: descriptors, threads for gRPC, and bytes of address space.
MAX_JOBS = 1_000
_RENEWED_WITHIN_S = 5.0
_REQUIRED = {"files": 16, "threads": 16, "address_space": 256 << 20}


Id = Annotated[
    str,
    typer.Option(
        envvar="COLOTRACE_AGENT_ID",
        help="This agent's id, unique in its colo.",
        show_default="HOSTNAME.COLO",
    ),
]
MaxJobs = Annotated[
    int | None,
    typer.Option(
        envvar="COLOTRACE_MAX_JOBS",
        min=1,
        max=10_000,
        help="Maximum number of jobs at the same time.",
        show_default=str(MAX_JOBS),
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        envvar="COLOTRACE_TAG",
        metavar="KEY=VALUE",
        help="A tag of this agent, by which requests can select its colo: provider=x. May be "
        "repeated; in the variable, tags are separated by spaces.",
    ),
]
Location = Annotated[
    str,
    typer.Option(
        envvar="COLOTRACE_LOCATION",
        metavar="LAT,LON",
        help="Where this host is, for maps, in decimal degrees: 39.74,-104.99.",
    ),
]
HealthFile = Annotated[
    Path | None,
    typer.Option(
        envvar="COLOTRACE_HEALTH_FILE",
        help="File in which to say every second whether the agent is attached, for the health "
        "check of a container.",
        dir_okay=False,
    ),
]


def start(
    colo: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_COLO", help="Name of this colo: letters and a number, like den01."
        ),
    ] = "",
    city: Annotated[
        str, typer.Option(envvar="COLOTRACE_CITY", help='Its city, like "Denver, CO, US".')
    ] = "",
    state_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_STATE_DIR",
            help="Directory of an agent that has joined: it has what this agent is, and its "
            "certificate, in place of --colo, --city, --coordinator, --agent-id and --tls-….",
            file_okay=False,
        ),
    ] = None,
    join_token: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_JOIN_TOKEN",
            metavar="TOKEN|@FILE",
            help="Join with this token first, if no agent has joined in --state-dir yet: for "
            "containers, which start by the same command each time.",
        ),
    ] = "",
    coordinator: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_COORDINATOR",
            help="Address at which the coordinator listens for agents; not needed with --mqtt.",
            metavar="HOST:PORT",
        ),
    ] = "",
    agent_id: Id = "",
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="COLOTRACE_INSECURE",
            help="Connect to the coordinator without TLS.",
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_CERT", help="This agent's certificate (PEM).", dir_okay=False
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_KEY", help="Private key of the certificate (PEM).", dir_okay=False
        ),
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_CA",
            help="CA of the coordinator's certificate (PEM).",
            dir_okay=False,
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_MQTT",
            metavar="URL",
            help="MQTT 5 broker that delivers the jobs of any number of coordinators: "
            "mqtts://[USER:PASSWORD@]HOST[:PORT]. Other users of this host can see a flag "
            "(in ps): prefer the variable.",
        ),
    ] = None,
    mqtt_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_MQTT_CA",
            help="CA of the broker's certificate (PEM); by default --tls-ca.",
            dir_okay=False,
        ),
    ] = None,
    max_jobs: MaxJobs = None,
    tag: Tags = None,
    location: Location = "",
    rate: Rate = None,
    allow_private: AllowPrivate = False,
    health_file: HealthFile = None,
    user: User = "",
) -> None:
    """Stay attached to a coordinator and run its jobs."""
    from colotrace_proto.identifiers import (
        COLO_SYNTAX,
        IDENTIFIER_SYNTAX,
        is_address,
        is_colo_name,
        is_identifier,
        with_ascii_host,
    )

    if state_dir is None and not any((colo, city, coordinator, insecure, join_token)):
        state_dir = _joined()
    state, mqtt_ca_text = None, ""
    if state_dir is not None:
        from colotrace_agent.enrolment.state import Options, StateDirectory

        state = StateDirectory(state_dir)
        if join_token and not state.is_enrolled:
            from .start_join import enrol

            options = Options(
                tags=tag or [],
                location=location,
                rate=rate,
                allow_private=allow_private,
                max_jobs=max_jobs,
            )
            enrol(state, join_token, agent_id=agent_id, options=options, user=user)
        # The id of an agent that joins by --join-token is that in the directory from then on.
        named = "" if join_token else agent_id
        own = (colo, city, coordinator, named, insecure, tls_cert, tls_key, tls_ca)
        if any(own):
            usage(
                "--state-dir says what this agent is; leave out --colo, --city, --coordinator, "
                "--agent-id, --insecure and --tls-…"
            )
        kept = _settings_by_now(state)
        colo, city, agent_id, coordinator = kept.colo, kept.city, kept.agent_id, kept.coordinator
        tls_cert = tls_key = state.agent
        tls_ca = state.authority
        mqtt = mqtt or kept.mqtt
        mqtt_ca_text = kept.mqtt_ca
        options = kept.options
        tag, location, rate = (
            tag or options.tags,
            location or options.location,
            rate or options.rate,
        )
        max_jobs, allow_private = (
            max_jobs or options.max_jobs,
            allow_private or options.allow_private,
        )
    elif join_token:
        usage("--join-token needs --state-dir, the directory that keeps the agent's certificate")
    elif not colo or not city:
        usage(
            "this host has not joined a coordinator: run the line that colotrace-coordinator agent "
            "enroll prints, or give --colo and --city"
        )
    files = {"certificate": tls_cert, "key": tls_key, "authority": tls_ca}
    colo = colo.lower()
    coordinator = with_ascii_host(coordinator)
    agent_id = agent_id or f"{hostname()}.{colo}"
    if not is_colo_name(colo):
        usage(f"--colo {colo}: a colo is {COLO_SYNTAX}")
    if not is_identifier(agent_id):
        usage(f"--agent-id {agent_id}: {IDENTIFIER_SYNTAX}")
    if not mqtt and not coordinator:
        usage("give --coordinator HOST:PORT, or --mqtt URL")
    if coordinator and not is_address(coordinator):
        usage(f"--coordinator {coordinator}: give HOST:PORT; write an IPv6 address in brackets")
    tags, place = checked_tags(tag or ()), checked_location(location)
    if not insecure:
        if None in files.values():
            usage(
                "give --tls-cert, --tls-key and --tls-ca, or --insecure to talk to the "
                "coordinator without TLS"
            )
        for file in files.values():
            if file is not None and not os.access(file, os.R_OK):
                usage(f"{file} cannot be read")
    sockets, account = startup.open_sockets(user)
    require(**_REQUIRED)
    startup.warn_of_rate(rate)
    broker = broker_tls = tls = broker_context = None
    if mqtt:
        broker_files = files | {"authority": mqtt_ca or tls_ca}
        broker, broker_tls = chosen_broker(
            mqtt, broker_files, authority="" if mqtt_ca else mqtt_ca_text, insecure=insecure
        )
        if state is not None and broker_tls is not None:
            broker_context = partial(
                broker_tls_context, broker, broker_files, state if mqtt_ca is None else None
            )

    from importlib.metadata import version

    from colotrace_proto import logs
    from colotrace_proto.messages import MAX_HOST, AgentId, ColoName

    from colotrace_agent.engine.multipath.several import offered
    from colotrace_agent.link.session import Identity
    from colotrace_agent.link.tls import Tls
    from colotrace_agent.packets.formats import PACKET_TYPES

    from . import preload
    from .run import RunSettings, run

    terminal = sys.stderr.isatty()
    logs.configure(json=not terminal, colors=terminal)
    if tls_cert and tls_key and tls_ca and not insecure:
        renewed_at = state.settings().join if state is not None else ""
        tls = Tls(certificate=tls_cert, key=tls_key, authority=tls_ca, renewed_at=renewed_at)
        tls.read()  # while root may still read them
    settings = RunSettings(
        coordinator=coordinator,
        broker=broker,
        broker_tls=broker_tls,
        identity=Identity(
            agent_id=AgentId(agent_id),
            boot_id=secrets.token_bytes(16),
            colo=ColoName(colo),
            city=safe(city),
            families=frozenset(),
            packet_types=offered(PACKET_TYPES),
            software_version=version("colotrace"),
            max_jobs=max_jobs or MAX_JOBS,
            tags=tags,
            location=place,
            host=safe(platform.node(), most=MAX_HOST),
        ),
        tls=tls,
        allow_private=allow_private,
        rate=rate,
        sockets=sockets,
        state=state,
        health_file=health_file,
        broker_context=broker_context,
    )
    if account is not None:
        # The account may not be able to read the installation, so modules are imported now.
        preload.for_names()
        preload.for_links(broker=broker is not None, tls=tls is not None)
        if state is not None:
            preload.for_renewals()
    startup.ready(account)
    if state is not None:
        state.check_access()
    asyncio.run(run(settings))


def _settings_by_now(state: "StateDirectory") -> "Settings":
    """The settings after a renewal: the coordinator can have got a broker, or renamed the agent,
    and neither can change while the agent runs. Without an answer they are as before."""
    from colotrace_agent.enrolment.renewal import Renewal

    try:
        Renewal(state).renew(within_s=_RENEWED_WITHIN_S)
    except (StartError, OSError, ValueError) as error:
        say(f"colotrace-agent: certificate not renewed: {error}")
    return state.settings()


def _joined() -> Path | None:
    """The default directory, if an agent has joined there."""
    from colotrace_agent.enrolment.state import StateDirectory, default_directory

    directory = default_directory()
    return directory if StateDirectory(directory).is_enrolled else None


def checked_tags(texts: Iterable[str]) -> "frozenset[Tag]":
    """The tags of the command line; exits with a usage error if they cannot be used."""
    from colotrace_proto.tags import MAX_TAGS, SYNTAX, tag_of

    values: dict[str, Tag] = {}
    for text in texts:
        tag = tag_of(text)
        if tag is None:
            usage(f"--tag {safe(text)}: a tag is {SYNTAX}")
        if values.setdefault(tag.key, tag) != tag:
            usage(f"--tag {text}: {tag.key} has another value already; give each key one value")
    if len(values) > MAX_TAGS:
        usage(f"--tag: an agent has at most {MAX_TAGS} tags")
    return frozenset(values.values())


def checked_location(text: str) -> "Place | None":
    """The location of the command line; exits with a usage error if it cannot be used."""
    from colotrace_proto.locations import location_of

    try:
        return location_of(text) if text else None
    except ValueError as error:
        usage(f"--location {safe(text)}: {error}")


def hostname() -> str:
    """This host's name, as far as an agent's id can have it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", platform.node())[:50] or "host"
