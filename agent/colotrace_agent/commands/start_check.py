"""Start of `colotrace-agent check`: reads what needs privileges, then reduces them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from colotrace_agent.errors import PrivilegeError, StartError
from colotrace_agent.host import privileges

from .brokers import chosen_broker
from .startup import User, usage

if TYPE_CHECKING:
    from colotrace_proto.findings import Finding

    from colotrace_agent.attachment.uplink import Uplink
    from colotrace_agent.enrolment.state import StateDirectory
    from colotrace_agent.host.accounts import Account


def start(
    state_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_STATE_DIR",
            help="Directory of an agent that has joined; by default the one of join.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    coordinator: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_COORDINATOR",
            help="As of run, in place of --state-dir: the coordinator's address.",
            metavar="HOST:PORT",
        ),
    ] = "",
    insecure: Annotated[
        bool,
        typer.Option("--insecure", envvar="COLOTRACE_INSECURE", help="As of run: without TLS."),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(envvar="COLOTRACE_TLS_CERT", help="As of run: PEM.", dir_okay=False),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(envvar="COLOTRACE_TLS_KEY", help="As of run: PEM.", dir_okay=False),
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(envvar="COLOTRACE_TLS_CA", help="As of run: PEM.", dir_okay=False),
    ] = None,
    mqtt: Annotated[
        str,
        typer.Option(envvar="COLOTRACE_MQTT", help="As of run: the broker.", metavar="URL"),
    ] = "",
    mqtt_ca: Annotated[
        Path | None,
        typer.Option(envvar="COLOTRACE_MQTT_CA", help="As of run: PEM.", dir_okay=False),
    ] = None,
    colo: Annotated[
        str, typer.Option(envvar="COLOTRACE_COLO", help="As of run, for a broker.")
    ] = "",
    user: User = "",
    json: Annotated[
        bool, typer.Option("--json", envvar="COLOTRACE_JSON", help="Print one JSON object.")
    ] = False,
) -> None:
    """Check whether this host can trace well and reach its coordinator, and show what to change if
    not.

    Exit code: 0 it can, with or without warnings; 1 it cannot.
    """
    from colotrace_proto.findings import fail
    from colotrace_proto.identifiers import (
        COLO_SYNTAX,
        is_address,
        is_colo_name,
        with_ascii_host,
    )

    from colotrace_agent.attachment import unit
    from colotrace_agent.host import accounts, service
    from colotrace_agent.host.diagnosis import ruleset

    coordinator, colo = with_ascii_host(coordinator), colo.lower()
    if coordinator and not is_address(coordinator):
        usage(f"--coordinator {coordinator}: give HOST:PORT; write an IPv6 address in brackets")
    if mqtt and colo and not is_colo_name(colo):
        usage(f"--colo {colo}: a colo is {COLO_SYNTAX}")
    # What root alone may read is read before privileges are dropped.
    rules = ruleset.read()
    before: list[Finding] = []
    uplink: Uplink | None = None
    state = None if coordinator or mqtt else _state(state_dir)
    try:
        if state is not None:
            uplink, colo = _of_state(state)
        elif coordinator or mqtt:
            files = (tls_cert, tls_key, tls_ca)
            uplink = _of_flags(coordinator, mqtt, files, mqtt_ca, insecure=insecure)
        else:
            before += unit.judge_unchecked(service.other_identity())
    except StartError as error:
        before.append(fail("settings", str(error), "correct them; run does not start, either"))
    except OSError as error:
        words = f"{error.filename}: {error.strerror}"
        before.append(fail("settings", words, "run this as root, or as the agent's user"))
    if state is not None:
        before += _directory(state, runs_as=accounts.named(user) if user else accounts.own())
    refusal, account = "", None
    try:
        account = privileges.reduce(user)
    except PrivilegeError as error:
        refusal = str(error)

    from . import preload
    from .check import CheckSettings, check

    preload.for_names()
    preload.for_links(broker=bool(uplink and uplink.broker), tls=bool(uplink and uplink.tls))
    if uplink is not None:
        preload.for_attachment(broker=uplink.broker is not None)
    privileges.finish(account)
    settings = CheckSettings(
        refusal=refusal, ruleset=rules, before=before, uplink=uplink, colo=colo
    )
    sys.exit(check(settings, json=json))


def _state(given: Path | None) -> "StateDirectory | None":
    """The directory to check: the given one, or the default if an agent has joined there."""
    from colotrace_agent.enrolment.state import StateDirectory, default_directory

    if given is not None:
        return StateDirectory(given)
    try:
        state = StateDirectory(default_directory())
        enrolled = state.is_enrolled
    except (OSError, RuntimeError):  # no home directory, or it may not be looked at
        return None
    return state if enrolled else None


def _of_state(state: "StateDirectory") -> "tuple[Uplink, str]":
    from colotrace_agent.attachment.uplink import Uplink
    from colotrace_agent.link.tls import Tls

    kept = state.settings()
    tls = Tls(certificate=state.agent, key=state.agent, authority=state.authority)
    tls.read()
    broker = broker_tls = None
    if kept.mqtt:
        files: dict[str, Path | None] = {
            "authority": state.authority,
            "certificate": state.agent,
            "key": state.agent,
        }
        broker, broker_tls = chosen_broker(kept.mqtt, files, authority=kept.mqtt_ca)
    uplink = Uplink(
        coordinator=kept.coordinator, tls=tls, broker=broker, broker_tls=broker_tls, state=kept
    )
    return uplink, kept.colo


def _of_flags(
    coordinator: str,
    mqtt: str,
    files: tuple[Path | None, Path | None, Path | None],
    mqtt_ca: Path | None,
    *,
    insecure: bool,
) -> "Uplink":
    from colotrace_agent.attachment.uplink import Uplink
    from colotrace_agent.link.tls import Tls

    certificate, key, authority = files
    tls = None
    if not insecure:
        if certificate is None or key is None or authority is None:
            raise StartError("give --tls-cert, --tls-key and --tls-ca, or --insecure")
        tls = Tls(certificate=certificate, key=key, authority=authority)
        tls.read()
    broker = broker_tls = None
    if mqtt:
        given = {"authority": mqtt_ca or authority, "certificate": certificate, "key": key}
        broker, broker_tls = chosen_broker(mqtt, given, insecure=insecure)
    return Uplink(coordinator=coordinator, tls=tls, broker=broker, broker_tls=broker_tls)


def _directory(state: "StateDirectory", *, runs_as: "Account") -> "list[Finding]":
    from colotrace_proto.findings import fail

    from colotrace_agent.attachment.state import facts_of, judge_directory

    try:
        facts = facts_of(state.path)
    except OSError as error:
        words = f"{state.path}: {error.strerror}"
        return [fail("state directory", words, "run this as root, or as the agent's user")]
    uid = runs_as.uid if os.geteuid() == 0 else os.geteuid()
    return judge_directory(facts, runs_as=uid)
