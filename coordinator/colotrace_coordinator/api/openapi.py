"""The OpenAPI document of `/openapi.json`.

It is written by hand, because it states a public contract (docs/adr/0014). Tests compare it with
that contract and with real answers.
"""

from typing import Any

import msgspec
from colotrace_proto import rows
from colotrace_proto.codes import Code
from colotrace_proto.deadlines import ANSWER_S
from colotrace_proto.measured import Options
from colotrace_proto.messages import MAX_PACKETS_PER_TTL, MAX_TTL, Family, PacketType

from colotrace_coordinator.lines import Line

from .request.parsing import MAX_PORT, MAX_TARGETS, MAX_WAIT_S
from .routes.agents import AgentLine
from .routes.colos import ColoLine

_REF = "#/components/schemas/{name}"
_DEFAULT = Options()

_FAILURES = {
    "400": "Missing or malformed credentials, malformed JSON, a body of another shape, or a colo "
    "that is not known; one error for each fault.",
    "401": "The token or key is unknown, revoked or expired.",
    "403": "The credential is good, but not for this account, or not for this.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON, or is compressed.",
    "429": "Too many requests; see Retry-After.",
    "5XX": "The coordinator cannot answer now; not to be tried again automatically.",
}

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
_EXAMPLE_RESULT = [
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


def describe_api(version: str, *, operation: bool = True) -> dict[str, Any]:
    """The whole document; `operation` includes `/healthz`, `/readyz` and `/metrics`."""
    kinds = [rows.TargetRow, ColoLine, AgentLine, Line]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    errors = [rows.error_text(code) for code in range(5)]
    schemas["ColoRow"]["properties"]["error"]["enum"] = errors
    schemas["Line"]["properties"]["code"]["minimum"] = min(Code)
    schemas["AgentLine"]["properties"]["last_trouble"] = {"type": "string", "nullable": True}
    schemas["TracerouteRequest"] = _request()
    schemas["Failure"] = _envelope({"nullable": True, "enum": [None]}, success=False)
    account = "/accounts/{account_id}/diagnostics/traceroute"
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "colotrace",
            "version": version,
            "description": "Traceroutes from your own colos.",
        },
        "servers": [{"url": "/client/v4", "description": "The same is served without the prefix."}],
        "paths": {
            account: {"parameters": [_account()], "post": _traceroute()},
            f"{account}/colos": {"parameters": [_account()], "get": _colos()},
            f"{account}/agents": {"parameters": [_account()], "get": _agents()},
            **(_operation() if operation else {}),
        },
        "components": {"schemas": schemas, "securitySchemes": _security_schemes()},
    }


def _operation() -> dict[str, Any]:
    return {
        "/healthz": _plain("The process answers", "health"),
        "/readyz": _plain("The database answers too, and the MQTT broker if there is one", "ready"),
        "/metrics": _plain("Numbers for Prometheus", "metrics", media="text/plain"),
    }


def _traceroute() -> dict[str, Any]:
    result = {"type": "array", "items": _ref("TargetRow")}
    return {
        "operationId": "diagnostics-traceroute",
        "summary": "Traceroute",
        "description": f"Run traceroutes from colos. The answer is out within {ANSWER_S:g} s; what "
        "could not be gathered by then is said in `error` and `messages`.",
        "tags": ["Diagnostics"],
        "security": [{"api_token": []}, {"api_email": [], "api_key": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("TracerouteRequest")}},
        },
        "responses": {
            "200": _json("Traceroute response.", _envelope(result, success=True), _EXAMPLE_RESULT),
            **_failures(),
        },
    }


def _colos() -> dict[str, Any]:
    example = {
        "name": "den01",
        "city": "Denver, CO, US",
        "agents": 1,
        "families": ["ipv4", "ipv6"],
        "packet_types": ["icmp", "tcp", "udp"],
        "state": "up",
    }
    return _list(
        "Colos", "Every colo that is known, with what its agents can do now.", ColoLine, example
    )


def _agents() -> dict[str, Any]:
    example = {
        "id": "probe1.den01",
        "colo": "den01",
        "version": "0.3.0",
        "families": ["ipv4", "ipv6"],
        "packet_types": ["icmp", "tcp", "udp"],
        "tags": {"provider": "x"},
        "attached_since": "2026-11-28T20:35:52.123Z",
        "last_trouble": "2026-11-28T20:41:07.000Z: it refused a job, since it was busy",
    }
    text = (
        "The agents that are attached to this coordinator, with the last trouble of each since the "
        "coordinator's start. With a broker, every coordinator has all agents."
    )
    return _list("Agents", text, AgentLine, example)


def _list(name: str, text: str, line: type, example: dict[str, Any]) -> dict[str, Any]:
    """A route that lists the fleet."""
    result = {"type": "array", "items": _ref(line.__name__)}
    failures = _failures()
    for status in ("408", "413", "415"):
        del failures[status]
    return {
        "operationId": f"diagnostics-traceroute-{name.lower()}",
        "summary": name,
        "description": text,
        "tags": ["Diagnostics"],
        "security": [{"api_token": []}, {"api_email": [], "api_key": []}],
        "responses": {
            "200": _json(f"{name} by name.", _envelope(result, success=True), [example]),
            **failures,
        },
    }


def _request() -> dict[str, Any]:
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


def _envelope(result: dict[str, Any], *, success: bool) -> dict[str, Any]:
    lines = {"type": "array", "items": _ref("Line")}
    return {
        "type": "object",
        "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": {"type": "boolean", "enum": [success]},
            "errors": lines,
            "messages": lines,
            "result": result,
        },
    }


def _failures() -> dict[str, Any]:
    example = {
        "success": False,
        "errors": [{"code": Code.UNKNOWN_CREDENTIALS, "message": "Authentication error"}],
        "messages": [],
        "result": None,
    }
    content = {"application/json": {"schema": _ref("Failure"), "example": example}}
    return {status: {"description": text, "content": content} for status, text in _FAILURES.items()}


def _json(text: str, schema: dict[str, Any], result: object) -> dict[str, Any]:
    example = {"success": True, "errors": [], "messages": [], "result": result}
    return {
        "description": text,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _plain(text: str, name: str, *, media: str = "application/json") -> dict[str, Any]:
    shape = {"type": "string"} if media == "text/plain" else {"type": "object"}
    answers = {"200": {"description": text, "content": {media: {"schema": shape}}}}
    if name == "ready":
        failure = {"application/json": {"schema": _ref("Failure")}}
        answers["503"] = {"description": "It does not", "content": failure}
    operation = {"operationId": name, "summary": text, "tags": ["Operation"], "responses": answers}
    return {"servers": [{"url": "/"}], "get": operation}


def _account() -> dict[str, Any]:
    return {
        "name": "account_id",
        "in": "path",
        "required": True,
        "schema": {
            "type": "string",
            "description": "Identifier",
            "minLength": 1,
            "maxLength": 32,
            "example": "023e105f4ecef8ad9ca31a8372d0c353",
        },
    }


def _security_schemes() -> dict[str, Any]:
    return {
        "api_token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token, made with: colotrace-coordinator token create",
        },
        "api_email": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Auth-Email",
            "description": "The e-mail that belongs to the key.",
        },
        "api_key": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Auth-Key",
            "description": "A key, made with: colotrace-coordinator key create",
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}
