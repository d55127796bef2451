"""Notices: what an agent tells people about a job, as codes with parameters, and their sentences.

An agent sends a code and parameters. All sentences are here: the coordinator makes them for the
messages of its answer, `colotrace-agent trace` for its output.

A new notice is a code and a sentence here. The number of a code is on the wire and never changes.
The parameters are the fields of `Notice`; a new one is also a field in `v1/fleet.proto`.
"""

import os
import re
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address

from .text import safe

MAX_TEXT = 500
"""Characters of a sentence, and of a parameter that is text."""


class NoticeCode(IntEnum):
    """What a notice says. Below 50 beside a row, from 50 on why a job failed, from 80 on why an
    agent refused it."""

    TEXT = 0
    """A sentence as it is: from a peer that sends no codes (release 0.2), or of a program about its
    own input."""

    HOPS_LIMIT = 1
    HOPS_SPARED = 2
    UNPLACED_ANSWERS = 3
    TAKEN_FOR_TARGET = 4
    TAKEN_FOR_FIREWALL = 5
    QUEUE_OVERFLOW = 6
    UNSTAMPED_PROBES = 7
    CLOCK_STEPPED = 8
    DETOUR = 9
    PROBES_UNSENT = 10
    BALANCED_BY_PACKET = 11
    TOO_FEW_ANSWERS = 12
    PATHS_LIMITED = 13
    PATHS_SILENT = 14
    PROBE_BUDGET = 15
    NO_TIME_FOR_FLOWS = 16

    CANCELLED_EARLY = 50
    DEADLINE_EARLY = 51
    AGENT_FAULT = 52
    NO_PROBE_SENT = 53
    CANNOT_SEND = 54
    NO_FLOW_LEFT = 55
    UNSENDABLE_FAMILIES = 56
    NOT_ONE_HOST = 57
    NOT_PUBLIC = 58
    OWN_ADDRESS = 59
    LINK_BROADCAST = 60
    UNRESOLVED = 61
    HAS_ZONE = 62
    NO_HOST_NAME = 63
    NO_SUCH_NAME = 64
    NO_ADDRESS = 65
    NAME_SERVERS_FAILED = 66
    NAME_SERVERS_REFUSED = 67

    STOPPING = 80
    JOBS_FULL = 81
    NO_SUCH_PROBES = 82
    NO_FAMILY = 83
    UNKNOWN_PACKET_TYPE = 84
    OUT_OF_RANGE = 85
    TARGET_LENGTH = 86


@dataclass(frozen=True, slots=True)
class Notice:
    """A code and its parameters; each sentence says which of them it has.

    `code` is a `NoticeCode`, or the number of one that only a newer peer knows. `addresses` are
    packed (4 or 16 bytes); with `ttls` of the same length, they are nodes. `families` are 4 and 6.
    `errors` are pairs of errno and a number of packets. `packet_type` is set if the notice is about
    the probes of one type of a job that sends several.
    """

    code: int
    ttls: tuple[int, ...] = ()
    addresses: tuple[bytes, ...] = ()
    count: int = 0
    least: int = 0
    most: int = 0
    name: str = ""
    reason: str = ""
    families: tuple[int, ...] = ()
    errors: tuple[tuple[int, int], ...] = ()
    packet_type: str = ""


_FLAG = "and this agent runs without --allow-private"
_JOIN = "shown from there on until the paths join"

_SENTENCES = {
    NoticeCode.TEXT: "{reason}",
    NoticeCode.HOPS_LIMIT: (
        "hop {ttls}: probably limits the rate of its answers, since hops beyond it lost nothing"
    ),
    NoticeCode.HOPS_SPARED: (
        "hop {ttls}: asked less often, since its router is known to limit its answers"
    ),
    NoticeCode.UNPLACED_ANSWERS: (
        "the target gave {count} answers that name no probe: it is reached, at a TTL and in a time "
        "that they do not tell"
    ),
    NoticeCode.TAKEN_FOR_TARGET: (
        "{nodes} answered port unreachable and is taken for another address of the target; it may "
        "be a firewall on the way"
    ),
    NoticeCode.TAKEN_FOR_FIREWALL: (
        "{nodes} answered port unreachable and is taken for a firewall on the way; it may be "
        "another address of the target"
    ),
    NoticeCode.QUEUE_OVERFLOW: (
        "this host had no room for {count} packets that came in: some of what counts as lost may "
        "have been answered"
    ),
    NoticeCode.UNSTAMPED_PROBES: (
        "this host did not stamp the departure of {count} probes: their times are less exact"
    ),
    NoticeCode.CLOCK_STEPPED: (
        "this host's wall clock was set meanwhile: some times are by another clock, and less exact"
    ),
    NoticeCode.DETOUR: (
        "this host's routing rules or equal routes could not be followed: its other traffic of "
        "this kind may leave by another first hop"
    ),
    NoticeCode.PROBES_UNSENT: (
        "probes that could not be sent from here, and are not counted as lost: {unsent}"
    ),
    NoticeCode.BALANCED_BY_PACKET: (
        "packets of one flow met several addresses at TTL {ttls}: they are balanced packet by "
        f"packet there, or the route changed; no links are {_JOIN}"
    ),
    NoticeCode.TOO_FEW_ANSWERS: (
        "too few answers at TTL {ttls} to tell balancing by flow from balancing by packet; not all "
        f"links are {_JOIN}"
    ),
    NoticeCode.PATHS_LIMITED: (
        "answers are missing at TTL {ttls}, where routers probably limit them: there may be more "
        "paths"
    ),
    NoticeCode.PATHS_SILENT: (
        f"answers are missing at TTL {{ttls}} on some paths; no links of these are {_JOIN}"
    ),
    NoticeCode.PROBE_BUDGET: ("the probe budget ended with {count} flows: there may be more paths"),
    NoticeCode.NO_TIME_FOR_FLOWS: (
        "the job's time does not allow more flows: there may be more paths"
    ),
    NoticeCode.CANCELLED_EARLY: "the job was taken back before its trace began",
    NoticeCode.DEADLINE_EARLY: "the job's time ran out before its trace began",
    NoticeCode.AGENT_FAULT: "a fault of the agent's own: {name}",
    NoticeCode.NO_PROBE_SENT: "no probe could be sent from here: {unsent}",
    NoticeCode.CANNOT_SEND: "the agent cannot send to {name}: {reason}",
    NoticeCode.NO_FLOW_LEFT: "too many traces to this target are under way",
    NoticeCode.UNSENDABLE_FAMILIES: (
        "{name} has only {families} addresses, which the agent cannot send"
    ),
    NoticeCode.NOT_ONE_HOST: "{subject} is not the address of one host",
    NoticeCode.NOT_PUBLIC: f"{{subject}} is not a public address, {_FLAG}",
    NoticeCode.OWN_ADDRESS: f"{{subject}} is an address of the agent's own host, {_FLAG}",
    NoticeCode.LINK_BROADCAST: "{subject} is not the address of one host, but of all on a link",
    NoticeCode.UNRESOLVED: "{name} does not resolve: {reason}",
    NoticeCode.HAS_ZONE: "{name} has a zone, as link-local addresses do; these are not traced",
    NoticeCode.NO_HOST_NAME: "{name} is neither an address nor a host name: {reason}",
    NoticeCode.NO_SUCH_NAME: "{name} does not resolve: no such name",
    NoticeCode.NO_ADDRESS: "{name} does not resolve: it has no address",
    NoticeCode.NAME_SERVERS_FAILED: (
        "{name} does not resolve: the host's name servers failed or did not answer"
    ),
    NoticeCode.NAME_SERVERS_REFUSED: (
        "{name} does not resolve: the host's name servers refused, or gave no valid answer"
    ),
    NoticeCode.STOPPING: "the agent is stopping",
    NoticeCode.JOBS_FULL: "the agent runs {count} jobs already",
    NoticeCode.NO_SUCH_PROBES: "the agent has no probes of type {name}",
    NoticeCode.NO_FAMILY: "the agent has no {families} address",
    NoticeCode.UNKNOWN_PACKET_TYPE: "packet type number {count} is not known here",
    NoticeCode.OUT_OF_RANGE: "{name} {count} is not within {least} to {most}",
    NoticeCode.TARGET_LENGTH: "target is not {least} to {most} characters",
}


def sentence(notice: Notice) -> str:
    """The notice in words, safe to show, of at most `MAX_TEXT` characters.

    A code that is not known here, and one that lacks a parameter of its sentence, is `code 99` with
    the parameters that it has.
    """
    words = _in_words(notice)
    template = _SENTENCES.get(notice.code)  # type: ignore[call-overload]
    if template is None or not all(words[field] for field in re.findall(r"{(\w+)}", template)):
        given = "; ".join(
            f"{name} {words[name]}" for name in _SHOWN if words[name] not in ("", "0")
        )
        text = f"code {notice.code}" + (f": {given}" if given else "")
    else:
        text = template.format_map(words)
    if notice.packet_type:
        text = f"{notice.packet_type.upper()}: {text}"
    return safe(text, most=MAX_TEXT)


_SHOWN = ("ttls", "addresses", "count", "least", "most", "name", "reason", "families", "errors")
"""Parameters, in the order in which a notice without a sentence shows them."""


def _in_words(notice: Notice) -> dict[str, str]:
    """Each parameter as sentences have it; "" if the notice lacks it."""
    addresses = [str(ip_address(address)) for address in notice.addresses]
    nodes = ", ".join(f"{a} at hop {ttl}" for a, ttl in zip(addresses, notice.ttls, strict=False))
    missing = notice.errors and addresses and notice.name
    errors = ", ".join(f"{count} x {os.strerror(error)}" for error, count in notice.errors)
    return {
        "ttls": ", ".join(map(str, notice.ttls)),
        "addresses": ", ".join(addresses),
        "nodes": f"{nodes} and {notice.count} more" if nodes and notice.count else nodes,
        "subject": f"what {notice.name} resolves to" if notice.name else ", ".join(addresses),
        "count": str(notice.count),
        "least": str(notice.least),
        "most": str(notice.most),
        "name": notice.name,
        "reason": notice.reason,
        "families": " and ".join(f"IPv{family}" for family in notice.families),
        "errors": errors,
        "unsent": f"{errors} (nobody is {addresses[0]} on {notice.name})" if missing else errors,
    }
