"""The enrolled agents, and what a running coordinator says of those that are attached."""

import http.client
import json
import ssl
import time
from collections.abc import Sequence
from importlib.metadata import version

from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.text import safe

from colotrace_coordinator.listen import Address
from colotrace_coordinator.store.inspection import listed_agents
from colotrace_coordinator.store.listed import ListedAgent
from colotrace_coordinator.store.location import Location

from .storage import is_current

_ANSWER_S = 3.0
_MOST_NAMED = 5


def findings(
    location: Location, operation: Address, *, encrypted: bool, lifetime_s: float | None
) -> list[Finding]:
    """`operation` is where /readyz is. `lifetime_s`: of agents' certificates; None if they are not
    the coordinator's."""
    found, running = _health(operation, encrypted=encrypted)
    if not is_current(location):
        return [found]
    judged = judge(
        listed_agents(location),
        running=running,
        version=version("colotrace"),
        lifetime_s=lifetime_s,
        now=time.time(),
    )
    return [found, *judged]


def judge(
    agents: Sequence[ListedAgent],
    *,
    running: bool,
    version: str,
    lifetime_s: float | None,
    now: float,
) -> list[Finding]:
    """`running`: the coordinator answers, so that what is noted of attached agents is true."""
    check = "agents"
    current = [agent for agent in agents if agent.state != "revoked"]
    if not current:
        remedy = (
            "colotrace-coordinator agent enroll --colo den01 --city CITY, and paste the line that "
            "it prints on the probe host"
            if lifetime_s is not None
            else "start one on a probe host: colotrace-agent run"
        )
        return [warn(check, "there is none", remedy)]
    found = _certificates(current, lifetime_s, now) if lifetime_s is not None else []
    behind = [agent for agent in current if agent.version and agent.version != version]
    if behind:
        named = _list([f"{agent.name} ({agent.version})" for agent in behind])
        detail = f"of another version than the coordinator ({version}): {named}"
        found.append(warn("agents' versions", detail, "upgrade them, or the coordinator"))
    if running:
        found += _attachments(agents, current)
    return found or [ok(check, f"{len(current)} known{_count(current, running=running)}")]


def _certificates(current: Sequence[ListedAgent], lifetime_s: float, now: float) -> list[Finding]:
    check = "agents' certificates"
    ends = {agent.name: agent.certificate_ends_at for agent in current if agent.certificate_ends_at}
    ended = [name for name, at in ends.items() if at <= now]
    # They renew at half of the life, and try again every hour.
    late = [name for name, at in ends.items() if now < at < now + 0.35 * lifetime_s]
    remedy = "on those hosts: colotrace-agent check, and the agent's log"
    found = []
    if ended:
        found.append(warn(check, f"have ended: {_list(ended)}", remedy))
    if late:
        found.append(warn(check, f"were not renewed in time: {_list(late)}", remedy))
    return found


def _attachments(agents: Sequence[ListedAgent], current: Sequence[ListedAgent]) -> list[Finding]:
    check = "attached agents"
    revoked = [agent.name for agent in agents if agent.state == "revoked" and agent.attached_since]
    gone = [agent for agent in current if not agent.attached_since]
    found = []
    if revoked:
        found.append(
            fail(
                check,
                f"revoked, and still attached: {_list(revoked)}",
                "restart the coordinator: they cannot attach again",
            )
        )
    if gone:
        which = "none is" if len(gone) == len(current) else f"{len(gone)} of {len(current)} are not"
        named = _list([_with_trouble(agent) for agent in gone])
        found.append(
            warn(
                check,
                f"{which} attached: {named}",
                "on their hosts: systemctl status colotrace-agent, and colotrace-agent check",
            )
        )
    return found


def _health(operation: Address, *, encrypted: bool) -> tuple[Finding, bool]:
    """What the coordinator says of itself, and whether it answers."""
    check = "coordinator"
    ready = _get(operation, "/readyz", encrypted=encrypted)
    if isinstance(ready, str):
        remedy = "start it: systemctl start colotrace-coordinator; its log says why it does not"
        return warn(check, f"does not answer at {operation}: {ready}", remedy), False
    status, body = ready
    detail = _detail(body)
    if status != 200:
        why = detail or f"status {status}"
        return fail(check, f"is not ready: {why}", "see the other findings, and its log"), True
    if detail:
        return warn(check, f"is ready, but: {detail}", "see its log"), True
    return ok(check, f"runs, and is ready ({operation})"), True


def _get(place: Address, path: str, *, encrypted: bool) -> tuple[int, bytes] | str:
    """Status and body, or why there is no answer."""
    host = place.host or "127.0.0.1"
    connection: http.client.HTTPConnection
    if encrypted:
        # The certificate is another check's.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host, place.port, timeout=_ANSWER_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, place.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(4 << 20)
    except (OSError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    finally:
        connection.close()


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["result"].get("detail") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _count(current: Sequence[ListedAgent], *, running: bool) -> str:
    attached = sum(agent.attached_since is not None for agent in current)
    return f", {attached} attached" if running else ""


def _with_trouble(agent: ListedAgent) -> str:
    return f"{agent.name} ({agent.last_trouble})" if agent.last_trouble else agent.name


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    text = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return safe(text)
