"""`colotrace-agent check`: whether this host can trace well and reach its coordinator, and what to
change if not."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from colotrace_proto.findings import Check, Finding, examine, report
from colotrace_proto.messages import ColoName

from colotrace_agent.attachment import unit
from colotrace_agent.attachment.uplink import Uplink
from colotrace_agent.host.diagnosis import clocks, files, firewall, kernel, sending
from colotrace_agent.host.diagnosis.ruleset import Ruleset

_PROC, _SYS = Path("/proc"), Path("/sys")
_WITHIN_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """`refusal` says why the process may not send raw packets; "" if it may. `before`: what was
    found with more privileges. `uplink` None: only the host is checked."""

    refusal: str
    ruleset: Ruleset
    before: list[Finding]
    uplink: Uplink | None
    colo: str


def check(settings: CheckSettings, *, json: bool) -> int:
    """Print the findings. Returns the exit code: 1 if the host cannot trace, or not reach its
    coordinator, else 0."""
    found = [
        *sending.findings(refusal=settings.refusal),
        *kernel.findings(proc=_PROC),
        *files.findings(),
        *firewall.findings(settings.ruleset, proc=_PROC),
        *clocks.findings(sys=_SYS),
        *settings.before,
    ]
    if settings.uplink is not None:
        if settings.uplink.coordinator and not settings.refusal:
            found += _traced(settings.uplink)
        found += examine(list(_attachment(settings.uplink, settings.colo)), within_s=_WITHIN_S)
    found += unit.findings()
    return report(found, as_json=json)


def _traced(uplink: Uplink) -> list[Finding]:
    """Here, since this thread alone may send."""
    from colotrace_agent.attachment import nearby

    try:
        return nearby.findings(uplink)
    except OSError:
        return []  # the finding on raw sockets says it


def _attachment(uplink: Uplink, colo: str) -> Iterator[Check]:
    from colotrace_agent.attachment import connection, renewing, state

    if uplink.tls is not None:
        pem = uplink.tls.read()
        renew_at = uplink.state.renew_at if uplink.state is not None else None
        judged = partial(state.certificate, pem.certificate, pem.key, renew_at=renew_at)
        yield Check("this agent's certificate", judged)
    if uplink.coordinator:
        yield Check("coordinator", partial(connection.findings, uplink))
    yield Check("renewal", partial(renewing.findings, uplink))
    if uplink.broker is not None:
        from colotrace_agent.attachment import broker

        yield Check("broker", partial(broker.findings, uplink, ColoName(colo)))
