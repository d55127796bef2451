"""The flags of `serve`, which `doctor` takes, too.

The file is long because each flag is declared here once, with its bounds and help.
"""

from collections.abc import Callable
from functools import partial
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from colotrace_proto.starting import install_line

from colotrace_coordinator.errors import SetupError

from .options import CaSecretFile, Data, DatabaseUrl, ca_secret

if TYPE_CHECKING:
    from colotrace_coordinator.settings import ServeSettings


def serve_settings(
    http: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_HTTP",
            metavar="HOST:PORT",
            help="The API. Default: port 8080 of all addresses; with --insecure of 127.0.0.1.",
        ),
    ] = None,
    grpc: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_GRPC",
            metavar="HOST:PORT",
            help="Agents attach here. Default: port 8081, of the same addresses.",
        ),
    ] = None,
    join: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_JOIN",
            metavar="HOST:PORT",
            help="Agents enrol and renew their certificates here, unless --agent-ca is given.",
        ),
    ] = ":8082",
    ops: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_OPS",
            metavar="HOST:PORT",
            help="Serve /metrics, /readyz and /healthz here, by plain HTTP, and not with the API.",
        ),
    ] = None,
    data: Data = None,
    database: DatabaseUrl = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="COLOTRACE_INSECURE",
            help="HTTP and gRPC without encryption: tokens can be read on the network, and anyone "
            "who reaches the gRPC port can pose as an agent.",
        ),
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(
            envvar="COLOTRACE_NAME",
            metavar="HOST",
            help="A host name or IP address at which agents and clients reach this coordinator; "
            "may be repeated. Agents use the first one. Default: the host's own.",
        ),
    ] = None,
    agent_certificate_hours: Annotated[
        float,
        typer.Option(
            envvar="COLOTRACE_AGENT_CERTIFICATE_HOURS",
            min=0.001,
            max=24 * 366,
            help="How long agents' certificates are valid. Agents renew them at half of that.",
        ),
    ] = 168,
    ca_secret_file: CaSecretFile = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_CERT",
            help="PEM certificate chain, for HTTPS, and with --agent-ca for gRPC. Default: the "
            "coordinator's own CA issues all certificates.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="COLOTRACE_TLS_KEY", help="PEM key of the certificate.")
    ] = None,
    agent_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_AGENT_CA",
            help="PEM CA of the agents' certificates. Default: the coordinator's own, with which "
            "agents enrol.",
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_MQTT",
            metavar="URL",
            help="MQTT 5 broker that connects several coordinators with the agents: "
            "mqtts://[USER:PASSWORD@]HOST[:PORT]. Other users of this host can see flags (in "
            "ps): prefer the variable.",
        ),
    ] = None,
    mqtt_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_MQTT_CA",
            help="PEM CA of the broker's certificate; default: the system's CAs.",
        ),
    ] = None,
    mqtt_cert: Annotated[
        Path | None,
        typer.Option(envvar="COLOTRACE_MQTT_CERT", help="PEM client certificate for the broker."),
    ] = None,
    mqtt_key: Annotated[
        Path | None, typer.Option(envvar="COLOTRACE_MQTT_KEY", help="PEM key of that certificate.")
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_ADVERTISE",
            metavar="HOST:PORT",
            help="With --mqtt: the address at which agents reach --grpc, if it differs from that.",
        ),
    ] = None,
    agent_mqtt: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_AGENT_MQTT",
            metavar="URL",
            help="With --mqtt: the broker's URL that enrolled agents get, mqtts://HOST[:PORT]. "
            "Default: that of --mqtt, without user and password.",
        ),
    ] = None,
    asn_db: Annotated[
        Path | None,
        typer.Option(envvar="COLOTRACE_ASN_DB", help="File with ASNs, in MaxMind's format."),
    ] = None,
    resolver: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_RESOLVER",
            metavar="HOST[:PORT]",
            help="Name server for names of addresses (PTR).",
        ),
    ] = None,
    allow_private: Annotated[
        bool,
        typer.Option(
            "--allow-private",
            envvar="COLOTRACE_ALLOW_PRIVATE",
            help="Trace private addresses too.",
        ),
    ] = False,
    requests_per_5_minutes: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_REQUESTS_PER_5_MINUTES",
            min=1,
            help="Each token's or key's rate limit.",
        ),
    ] = 1_200,
    target_rate: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_TARGET_RATE",
            min=1,
            help="Packets a second that all agents together send to one target.",
        ),
    ] = 5_000,
    account_target_rate: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_ACCOUNT_TARGET_RATE",
            min=1,
            help="The part of --target-rate that one account may use.",
        ),
    ] = 2_000,
    keep_days: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_KEEP_DAYS",
            min=0,
            max=36_500,
            help="How long measurements are kept. 0: they are forgotten when they end.",
        ),
    ] = 30,
    keep_bytes: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_KEEP_BYTES",
            min=1 << 20,
            help="How large the database may be. Beyond that the oldest measurements of the "
            "account with the largest part are deleted.",
        ),
    ] = 10 << 30,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            envvar="COLOTRACE_TRUSTED_PROXY",
            metavar="ADDRESS",
            help="A reverse proxy, or a network of them, whose X-Forwarded-For is trusted; may be "
            "repeated.",
        ),
    ] = None,
    stop_delay: Annotated[
        float | None,
        typer.Option(
            envvar="COLOTRACE_STOP_DELAY",
            metavar="SECONDS",
            min=0,
            max=15,
            help="After SIGTERM: how long /readyz returns 503 while requests are still taken, so "
            "that a load balancer uses other coordinators before connections are refused. "
            "Default: 5 with --mqtt, otherwise 0.",
        ),
    ] = None,
) -> "ServeSettings":
    """The flags that `serve` and `doctor` take, checked.

    Raises:
        SetupError: one cannot be used.
    """
    from colotrace_coordinator.listen import Address, parse_address, parse_network
    from colotrace_coordinator.settings import ServeSettings, choose_authority, choose_tls
    from colotrace_coordinator.store.location import locate

    location = locate(data=data, database=database)
    tls = choose_tls(insecure=insecure, certificate=tls_cert, key=tls_key, agent_ca=agent_ca)
    authority = choose_authority(
        insecure=insecure,
        tls=tls,
        names=name or (),
        join=parse_address(join, flag="--join"),
        secret=ca_secret(),
        secret_file=ca_secret_file,
        lifetime_s=agent_certificate_hours * 3_600,
        data=data,
        location=location,
    )
    everywhere = "127.0.0.1" if insecure else ""
    http, grpc = http or f"{everywhere}:8080", grpc or f"{everywhere}:8081"
    broker = None
    if mqtt:
        try:
            from colotrace_proto.mqtt import BrokerTls

            from colotrace_coordinator.links.mqtt.choose import choose_broker
        except ModuleNotFoundError as error:
            raise SetupError(
                f"--mqtt needs the Python package {error.name!r}; run: {install_line('mqtt')}"
            ) from error
        port = parse_address(grpc, flag="--grpc").port
        if authority is not None and not advertise and port:
            advertise = str(Address(authority.names[0], port))
        files = BrokerTls(authority=mqtt_ca, certificate=mqtt_cert, key=mqtt_key)
        broker = choose_broker(
            mqtt,
            insecure=insecure,
            files=files,
            grpc=grpc,
            advertise=advertise,
            for_agents=agent_mqtt,
        )
    for flag, given in (("--advertise", advertise), ("--agent-mqtt", agent_mqtt)):
        if given and not mqtt:
            raise SetupError(f"{flag} needs --mqtt; leave it out")
    if agent_mqtt and authority is None:
        raise SetupError("--agent-mqtt is for agents that enrol; leave it out")
    return ServeSettings(
        http=parse_address(http, flag="--http"),
        grpc=parse_address(grpc, flag="--grpc"),
        ops=parse_address(ops, flag="--ops") if ops else None,
        mqtt=broker,
        location=location,
        tls=tls,
        authority=authority,
        asn_db=asn_db,
        resolver=resolver,
        allow_private=allow_private,
        requests_per_window=requests_per_5_minutes,
        target_rate=target_rate,
        account_target_rate=account_target_rate,
        trusted_proxies=tuple(
            parse_network(text, flag="--trusted-proxy") for text in trusted_proxy or ()
        ),
        keep_days=keep_days,
        keep_bytes=keep_bytes,
        stop_delay_s=stop_delay if stop_delay is not None else 5.0 if mqtt else 0.0,
    )


def with_serve_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of `serve` before its own. It gets a function that checks them and
    returns the settings."""
    own = list(signature(command).parameters.values())[1:]
    shared = list(signature(serve_settings).parameters.values())

    def run(**given: Any) -> None:
        mine = {each.name: given.pop(each.name) for each in own}
        command(partial(serve_settings, **given), **mine)

    # What typer reads.
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in (*shared, *own)}
    run.__signature__ = Signature([*shared, *own])  # type: ignore[attr-defined]
    return run
