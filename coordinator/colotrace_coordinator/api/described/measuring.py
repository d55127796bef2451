"""The OpenAPI document of the routes that measure, and that list colos."""

from typing import Any

from colotrace_formats.negotiation import Live
from colotrace_proto.deadlines import ANSWER_S
from colotrace_proto.measured import Options
from colotrace_proto.messages import MAX_PACKETS_PER_TTL, MAX_TTL, Family, PacketType

from colotrace_coordinator.api.request.parsing import MAX_PORT, MAX_TARGETS, MAX_WAIT_S
from colotrace_coordinator.api.routes.agents import AgentLine
from colotrace_coordinator.api.routes.colos import ColoLine

from .parts import (
    EXAMPLE_SUMMARY,
    SECURITY,
    envelope,
    failures,
    format_contents,
    format_parameter,
    json_answer,
    ref,
    success,
    with_info,
)

_DEFAULT = Options()

_EXAMPLE_NODE = {
    "asn": "AS13335",
    "ip": "1.1.1.1",
    "name": "one.one.one.one",
    "packet_count": 3,
    "min_rtt_ms": 0.014,
    "mean_rtt_ms": 0.021,
    "max_rtt_ms": 0.034,
    "std_dev_rtt_ms": 0.011269427669584647,
}
_EXAMPLE_TIMES = {"min": 0.014, "mean": 0.021, "max": 0.034, "std_dev": 0.011269427669584647}
EXAMPLE_RESULT = [
    {
        "target": "1.1.1.1",
        "colos": [
            {
                "colo": {"city": "Denver, CO, US", "name": "den01"},
                "error": "",
                "hops": [
                    {
                        "packets_ttl": 1,
                        "packets_sent": 3,
                        "packets_lost": 0,
                        "nodes": [_EXAMPLE_NODE],
                    }
                ],
                "target_summary": {
                    "asn": "AS13335",
                    "ip": "1.1.1.1",
                    "name": "one.one.one.one",
                    "packet_count": 3,
                    **{f"{k}_latency_ms": v for k, v in _EXAMPLE_TIMES.items()},
                    **{f"{k}_rtt_ms": v for k, v in _EXAMPLE_TIMES.items()},
                },
                "traceroute_time_ms": 8,
            }
        ],
    }
]


def traceroute() -> dict[str, Any]:
    """POST: measure."""
    result = {"type": "array", "items": ref("TargetRow")}
    contents = format_contents(envelope(result, success=True), success(EXAMPLE_RESULT))
    contents |= {live.value: {"schema": {"type": "string"}} for live in Live}
    text = {"schema": {"type": "string"}}
    where = {"Location": text, "Measurement-Id": text}
    return {
        "operationId": "diagnostics-traceroute",
        "summary": "Traceroute",
        "description": f"Run traceroutes from colos. The answer is out within {ANSWER_S:g} s; what "
        "could not be gathered by then is said in `error` and `messages`.",
        "tags": ["Diagnostics"],
        "security": SECURITY,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ref("TracerouteRequest")}},
        },
        "parameters": [format_parameter(), _prefer()],
        "responses": {
            "200": {"description": "Traceroute response.", "content": contents, "headers": where},
            "202": {
                **json_answer(
                    "The measurement goes on by itself.",
                    with_info(result, "SummaryShape"),
                    [],
                    info=EXAMPLE_SUMMARY,
                ),
                "headers": where,
            },
            **failures(),
        },
    }


def _prefer() -> dict[str, Any]:
    return {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async`: answer at once with 202 (RFC 7240).",
        "schema": {"type": "string", "example": "respond-async"},
    }


def colos() -> dict[str, Any]:
    """GET: the colos."""
    example = {
        "name": "den01",
        "city": "Denver, CO, US",
        "agents": 1,
        "families": ["ipv4", "ipv6"],
        "packet_types": ["icmp", "tcp", "udp"],
        "state": "up",
        "location": [39.74, -104.99],
    }
    text = "Every colo that is known, with what its agents can do now."
    return _list("Colos", text, ColoLine, example)


def agents() -> dict[str, Any]:
    """GET: the agents."""
    example = {
        "id": "probe1.den01",
        "colo": "den01",
        "version": "0.3.0",
        "families": ["ipv4", "ipv6"],
        "packet_types": ["icmp", "tcp", "udp"],
        "tags": {"provider": "x"},
        "attached_since": "2026-11-28T20:35:52.123Z",
        "last_trouble": "2026-11-28T20:41:07.000Z: it refused a job, since it was busy",
        "location": [39.74, -104.99],
        "host": "probe1",
        "cpu_millis": 21,
        "memory_bytes": 88_080_384,
    }
    text = (
        "The agents that are attached to this coordinator, with the last trouble of each since the "
        "coordinator's start. With a broker, every coordinator has all agents."
    )
    return _list("Agents", text, AgentLine, example)


def _list(name: str, text: str, line: type, example: dict[str, Any]) -> dict[str, Any]:
    """A route that lists the fleet."""
    result = {"type": "array", "items": ref(line.__name__)}
    others = failures()
    for status in ("408", "413", "415"):
        del others[status]
    return {
        "operationId": f"diagnostics-traceroute-{name.lower()}",
        "summary": name,
        "description": text,
        "tags": ["Diagnostics"],
        "security": SECURITY,
        "responses": {
            "200": json_answer(f"{name} by name.", envelope(result, success=True), [example]),
            **others,
        },
    }


def request() -> dict[str, Any]:
    """The schema of the body of POST."""

    def number(text: str, *, default: int, most: int, least: int = 0) -> dict[str, Any]:
        bounds = {"minimum": least, "maximum": most}
        return {"type": "integer", "description": text, "default": default, **bounds}

    options = {
        "max_ttl": number("Max TTL.", default=_DEFAULT.max_ttl, most=MAX_TTL),
        "packet_type": {
            "type": "string",
            "description": "Type of packet sent.",
            "default": _DEFAULT.packet_type.value,
            "enum": [kind.value for kind in PacketType],
            "example": "icmp",
        },
        "packets_per_ttl": number(
            "Number of packets sent at each TTL.",
            default=_DEFAULT.packets_per_ttl,
            most=MAX_PACKETS_PER_TTL,
        ),
        "port": number(
            "For UDP and TCP, the destination port; for ICMP, the initial sequence number. "
            "0 chooses the best value for each protocol.",
            default=0,
            most=MAX_PORT,
        ),
        "wait_time": number(
            "The time (in seconds) to wait for a response to a probe.",
            default=_DEFAULT.wait_ms // 1_000,
            least=1,
            most=MAX_WAIT_S,
        ),
        "multipath": {
            "type": "boolean",
            "description": "Find the load-balanced paths: many flows are traced, each by two "
            "packets at each TTL whatever packets_per_ttl says, until no further path is to be "
            "expected with 95 % confidence; the rows have links.",
            "default": False,
        },
        "family": {
            "type": "integer",
            "description": "Use only addresses of this family: 4 or 6. 0 leaves it to each agent.",
            "default": 0,
            "enum": [0, *sorted(Family)],
        },
    }
    return {
        "type": "object",
        "required": ["targets"],
        "properties": {
            "targets": {
                "type": "array",
                "description": "Hosts as a hostname or an IPv4 or IPv6 address.",
                "items": {"type": "string", "minLength": 1, "maxLength": 255},
                "minItems": 1,
                "maxItems": MAX_TARGETS,
                "example": ["203.0.113.1", "cloudflare.com"],
            },
            "colos": {
                "type": "array",
                "description": "Source colos by full name (den01) or code (den: all of that "
                "code); none means all. Selectors narrow them: country:DE, city:Denver, "
                "tag:provider=x, limit:5.",
                "items": {"type": "string"},
                "example": ["den", "sin", "limit:2"],
            },
            "options": {
                "type": "object",
                "properties": options,
                "example": {"max_ttl": 15, "packet_type": "icmp"},
            },
        },
    }
