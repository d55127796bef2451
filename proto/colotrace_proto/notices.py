"""Notices: what an agent tells people about a job, as codes with parameters, and their sentences.

An agent sends a code and parameters. All sentences are here: the coordinator makes them for the
messages of its answer, `colotrace-agent trace` for its output.

A new notice is a code and a sentence here. The number of a code is on the wire and never changes.
The parameters are the fields of `Notice`; a new one is also a field in `v1/fleet.proto`.
"""

import os
import re
from enum import IntEnum, unique
from ipaddress import ip_address
from typing import Self

import msgspec

from .text import safe

MAX_TEXT = 500
"""Characters of a sentence, and of a parameter that is text."""

_FLAG = "and this agent runs without --allow-private"
_JOIN = "shown from there on until the paths join"


@unique
class NoticeCode(IntEnum):
    """What a notice says, with the template of its sentence. Fields of a template are parameters.

    Codes below 50 are beside a row, from 50 on why a job failed, from 80 on why an agent refused
    it. `TEXT` is a sentence as it is: of a peer that sends no codes (release 0.2), or of a program
    about its own input.
    """

    template: str

    def __new__(cls, number: int, template: str) -> Self:
        """The member with that number."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.template = template
        return code

    TEXT = (0, "{reason}")

    HOPS_LIMIT = (
        1,
        "hop {ttls}: probably limits the rate of its answers, since hops beyond it lost nothing",
    )
    HOPS_SPARED = (
        2,
        "hop {ttls}: asked less often, since its router is known to limit its answers",
    )
    UNPLACED_ANSWERS = (
        3,
        (
            "the target gave {count} answers that name no probe: it is reached, at a TTL and in a "
            "time that they do not tell"
        ),
    )
    TAKEN_FOR_TARGET = (
        4,
        (
            "{nodes} answered port unreachable and is taken for another address of the target; it "
            "may be a firewall on the way"
        ),
    )
    TAKEN_FOR_FIREWALL = (
        5,
        (
            "{nodes} answered port unreachable and is taken for a firewall on the way; it may be "
            "another address of the target"
        ),
    )
    QUEUE_OVERFLOW = (
        6,
        (
            "this host had no room for {count} packets that came in: some of what counts as lost "
            "may have been answered"
        ),
    )
    UNSTAMPED_PROBES = (
        7,
        "this host did not stamp the departure of {count} probes: their times are less exact",
    )
    CLOCK_STEPPED = (
        8,
        "this host's wall clock was set meanwhile: some times are by another clock, and less exact",
    )
    DETOUR = (
        9,
        (
            "this host's routing rules or equal routes could not be followed: its other traffic of "
            "this kind may leave by another first hop"
        ),
    )
    PROBES_UNSENT = (
        10,
        "probes that could not be sent from here, and are not counted as lost: {unsent}",
    )
    BALANCED_BY_PACKET = (
        11,
        (
            "packets of one flow met several addresses at TTL {ttls}: they are balanced packet by "
            f"packet there, or the route changed; no links are {_JOIN}"
        ),
    )
    TOO_FEW_ANSWERS = (
        12,
        (
            "too few answers at TTL {ttls} to tell balancing by flow from balancing by packet; not "
            f"all links are {_JOIN}"
        ),
    )
    PATHS_LIMITED = (
        13,
        (
            "answers are missing at TTL {ttls}, where routers probably limit them: there may be "
            "more paths"
        ),
    )
    PATHS_SILENT = (
        14,
        f"answers are missing at TTL {{ttls}} on some paths; no links of these are {_JOIN}",
    )
    PROBE_BUDGET = (15, "the probe budget ended with {count} flows: there may be more paths")
    NO_TIME_FOR_FLOWS = (16, "the job's time does not allow more flows: there may be more paths")

    CANCELLED_EARLY = (50, "the job was taken back before its trace began")
    DEADLINE_EARLY = (51, "the job's time ran out before its trace began")
    AGENT_FAULT = (52, "a fault of the agent's own: {name}")
    NO_PROBE_SENT = (53, "no probe could be sent from here: {unsent}")
    CANNOT_SEND = (54, "the agent cannot send to {name}: {reason}")
    NO_FLOW_LEFT = (55, "too many traces to this target are under way")
    UNSENDABLE_FAMILIES = (56, "{name} has only {families} addresses, which the agent cannot send")
    NOT_ONE_HOST = (57, "{subject} is not the address of one host")
    NOT_PUBLIC = (58, f"{{subject}} is not a public address, {_FLAG}")
    OWN_ADDRESS = (59, f"{{subject}} is an address of the agent's own host, {_FLAG}")
    LINK_BROADCAST = (60, "{subject} is not the address of one host, but of all on a link")
    UNRESOLVED = (61, "{name} does not resolve: {reason}")
    HAS_ZONE = (62, "{name} has a zone, as link-local addresses do; these are not traced")
    NO_HOST_NAME = (63, "{name} is neither an address nor a host name: {reason}")
    NO_SUCH_NAME = (64, "{name} does not resolve: no such name")
    NO_ADDRESS = (65, "{name} does not resolve: it has no address")
    NAME_SERVERS_FAILED = (
        66,
        "{name} does not resolve: the host's name servers failed or did not answer",
    )
    NAME_SERVERS_REFUSED = (
        67,
        "{name} does not resolve: the host's name servers refused, or gave no valid answer",
    )
    NO_ADDRESS_OF_FAMILY = (68, "{name} does not resolve: it has no {families} address")
    OTHER_FAMILY = (69, "{name} is not an {families} address")

    STOPPING = (80, "the agent is stopping")
    JOBS_FULL = (81, "the agent runs {count} jobs already")
    NO_SUCH_PROBES = (82, "the agent has no probes of type {name}")
    NO_FAMILY = (83, "the agent has no {families} address")
    UNKNOWN_PACKET_TYPE = (84, "packet type number {count} is not known here")
    OUT_OF_RANGE = (85, "{name} {count} is not within {least} to {most}")
    TARGET_LENGTH = (86, "target is not {least} to {most} characters")
    SHARE_OF_JOBS_FULL = (
        87,
        "the agent runs {count} jobs of this account or credential, and keeps room for others",
    )
    UNKNOWN_FAMILY = (88, "address family number {count} is not known here")


_TEMPLATES = {code.value: code.template for code in NoticeCode}


class Notice(msgspec.Struct, frozen=True):
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


def sentence(notice: Notice) -> str:
    """The notice in words, safe to show, of at most `MAX_TEXT` characters.

    A code that is not known here, and one that lacks a parameter of its sentence, is `code 99` with
    the parameters that it has.
    """
    words = _in_words(notice)
    template = _TEMPLATES.get(notice.code, "")
    if not template or not all(words[field] for field in re.findall(r"{(\w+)}", template)):
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
    neighbour = f" (no answer from neighbour {addresses[0]} on {notice.name})" if missing else ""
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
        "unsent": f"{errors}{neighbour}",
    }
