"""The enrolled agents, and what a running coordinator says of those that are attached."""

import asyncio
import http.client
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from colotrace_proto.findings import Finding, fail, ok, warn

from colotrace_coordinator.listen import Address
from colotrace_coordinator.store.inspection import enrolled
from colotrace_coordinator.store.location import Location
from colotrace_coordinator.store.tables import EnrolledAgent

from .storage import is_current

_ANSWER_S = 3.0
_AGENTS = re.compile(
    r'^colotrace_agents\{colo="([^"]+)",state="(?:up|draining)"\} ([0-9.]+)$', re.M
)
_MOST_NAMED = 5


def findings(
    location: Location, operation: Address, *, encrypted: bool, lifetime_s: float | None
) -> list[Finding]:
    """`operation` is where /readyz and /metrics are. `lifetime_s`: of agents' certificates; None if
    they are not the coordinator's."""
    ready, attached = _health(operation, encrypted=encrypted)
    if lifetime_s is None or not is_current(location):
        return ready
    _, agents = asyncio.run(enrolled(location))
    return [*ready, *judge(agents, attached, lifetime_s=lifetime_s, now=time.time())]


def judge(
    agents: Sequence[EnrolledAgent],
    attached: Mapping[str, int] | None,
    *,
    lifetime_s: float,
    now: float,
) -> list[Finding]:
    """`attached`: how many by colo; None if the coordinator does not say."""
    check = "agents"
    current = [agent for agent in agents if agent.revoked_at is None]
    if not current:
        return [
            warn(
                check,
                "none is enrolled",
                "colotrace-coordinator agent enroll --colo den01 --city CITY, and paste the line "
                "that it prints on the probe host",
            )
        ]
    ended = [agent for agent in current if agent.certificate_ends_at <= now]
    # They renew at half of the life, and try again every hour.
    late = [agent for agent in current if now < agent.certificate_ends_at < now + 0.35 * lifetime_s]
    renew = "on those hosts: colotrace-agent check, and the agent's log"
    found = []
    if ended:
        found.append(warn(check, f"certificates that have ended: {_named(ended)}", renew))
    if late:
        found.append(warn(check, f"certificates that were not renewed: {_named(late)}", renew))
    if attached is not None:
        found += _attachments(current, attached)
    return found or [ok(check, f"{len(current)} enrolled{_count(attached)}")]


def _attachments(current: Sequence[EnrolledAgent], attached: Mapping[str, int]) -> list[Finding]:
    check = "attached agents"
    known = Counter(agent.colo for agent in current)
    more = sorted(colo for colo, count in attached.items() if count > known[colo])
    found = []
    if not sum(attached.values()):
        found.append(
            warn(
                check,
                f"none of {len(current)} is attached",
                "on a probe host: systemctl status colotrace-agent, and colotrace-agent check",
            )
        )
    if more:
        found.append(
            warn(
                check,
                f"more than are enrolled, or than were not revoked, in {', '.join(more)}",
                "restart the coordinator: revoked agents cannot attach again",
            )
        )
    gone = sorted(colo for colo in known if not attached.get(colo))
    if gone and sum(attached.values()):
        found.append(
            warn(
                check,
                f"none in {_list(gone)}",
                "on their hosts: systemctl status colotrace-agent, and colotrace-agent check",
            )
        )
    return found


def _health(operation: Address, *, encrypted: bool) -> tuple[list[Finding], dict[str, int] | None]:
    check = "coordinator"
    ready = _get(operation, "/readyz", encrypted=encrypted)
    metrics = _get(operation, "/metrics", encrypted=encrypted)
    if isinstance(ready, str) or isinstance(metrics, str):
        remedy = "start it: systemctl start colotrace-coordinator; its log says why it does not"
        why = ready if isinstance(ready, str) else metrics
        return [warn(check, f"does not answer at {operation}: {why}", remedy)], None
    status, body = ready
    attached: Counter[str] = Counter()
    for colo, count in _AGENTS.findall(metrics[1].decode(errors="replace")):
        attached[colo] += int(float(count))
    detail = _detail(body)
    if status != 200:
        why = detail or f"status {status}"
        return [
            fail(check, f"is not ready: {why}", "see the other findings, and its log")
        ], attached
    if detail:
        return [warn(check, f"is ready, but: {detail}", "see its log")], attached
    return [ok(check, f"runs, and is ready ({operation})")], attached


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


def _count(attached: Mapping[str, int] | None) -> str:
    return "" if attached is None else f", {sum(attached.values())} attached"


def _named(agents: Sequence[EnrolledAgent]) -> str:
    return _list([f"{agent.colo}/{agent.agent_id}" for agent in agents])


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
