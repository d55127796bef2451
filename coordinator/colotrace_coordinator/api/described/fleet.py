"""The OpenAPI document of the routes that administrate the fleet."""

from typing import Any

import msgspec

from colotrace_coordinator.api.request.administration import (
    AgentChange,
    ColoChange,
    EnrolmentBody,
)

from .parts import ACCOUNT, REF, SECURITY, account, envelope, failures, json_answer, ref

BODIES = [AgentChange, ColoChange, EnrolmentBody]
_AGENT = {
    "id": "0123456789abcdef",
    "colo": "den01",
    "agent_id": "probe1.den01",
    "city": "Denver, CO, US",
    "host": "probe1",
    "state": "enrolled",
    "version": "0.3.0",
    "families": ["ipv4", "ipv6"],
    "attached_since": "2026-11-28T20:35:52.000Z",
    "last_seen_at": "2026-11-28T21:02:11.000Z",
    "enrolled_at": "2026-11-27T08:00:00.000Z",
    "certificate_ends_at": "2026-12-04T08:00:00.000Z",
    "revoked_at": None,
    "last_trouble": "2026-11-28T20:35:50.000Z: its stream ended: the connection broke",
    "cpu_millis": 21,
    "memory_bytes": 88_080_384,
}
_TOKEN = {
    "id": "5b1c9f",
    "colo": "den01",
    "city": "Denver, CO, US",
    "uses": 50,
    "used": 12,
    "created_at": "2026-11-28T20:00:00.000Z",
    "expires_at": "2026-11-28T21:00:00.000Z",
    "revoked_at": None,
}
_NEW = {"id": "5b1c9f", "token": "ctj_…", "command": "colotrace-agent join ctj_…"}
_NEEDS = " Needs the permission `admin`; the fleet is one for all accounts."
_AGENT_WORDS = (
    "The agent's `id` in the list, which is COLO:AGENT-ID of one that has not enrolled. "
    "An agent's own id will do if only one agent has it."
)


def fleet_schemas() -> dict[str, Any]:
    """The schemas of the bodies."""
    _, schemas = msgspec.json.schema_components(BODIES, ref_template=REF)
    return schemas


def fleet_paths() -> dict[str, Any]:
    """The paths."""
    here, agent, agents = account(), _parameter("agent", _AGENT_WORDS), _list("FleetAgent")
    one, fleet = ref("FleetAgent"), f"{ACCOUNT}/fleet"
    return {
        f"{fleet}/agents": {
            "parameters": [here],
            "get": _operation(
                "agents",
                "Agents of the fleet",
                "All agents that have enrolled, whichever coordinator they are attached to, and "
                "others that were seen in the last 30 days.",
                agents,
                [_AGENT],
            ),
        },
        f"{fleet}/agents/{{agent}}": {
            "parameters": [here, agent],
            "get": _operation("agent", "Agent", "One agent.", one, _AGENT),
            "patch": _operation(
                "agent-change",
                "Drain or rename an agent",
                "With `drained` the agent gets no new jobs, or some again. With `agent_id`, `colo` "
                "or `city` it is renamed: it attaches again under its new name within a second, "
                "with the certificate that it has, and its jobs go on. What was measured keeps "
                "the old name.",
                one,
                _AGENT,
                body="AgentChange",
            ),
            "delete": _operation(
                "agent-forget",
                "Forget an agent",
                "Revokes the agent, and lists it no more. Another one can enrol under its name.",
                _id("id"),
                {"id": _AGENT["id"]},
            ),
        },
        f"{fleet}/agents/{{agent}}/revoke": {
            "parameters": [here, agent],
            "post": _operation(
                "agent-revoke",
                "Revoke an agent",
                "Refuses the agent and its certificate from now on. Coordinators end its stream "
                "within a second.",
                one,
                _AGENT | {"state": "revoked", "revoked_at": "2026-11-28T21:05:00.000Z"},
            ),
        },
        f"{fleet}/join-tokens": {
            "parameters": [here],
            "get": _operation(
                "join-tokens",
                "Join tokens",
                "All join tokens, oldest first, without their secrets.",
                _list("JoinTokenLine"),
                [_TOKEN],
            ),
            "post": _operation(
                "enroll",
                "Make a join token",
                "Makes a token with which `uses` agents of the colo can enrol within `expires_s` "
                "seconds. Its text is shown once; `command` is the line to paste on the probe "
                "hosts.",
                ref("NewJoinToken"),
                _NEW,
                body="EnrolmentBody",
            ),
        },
        f"{fleet}/join-tokens/{{token}}": {
            "parameters": [here, _parameter("token", "The token's `id` in the list.")],
            "delete": _operation(
                "join-token-revoke",
                "Revoke a join token",
                "Lets nobody enrol with the token any more. Agents that have enrolled stay so.",
                _id("id"),
                {"id": _TOKEN["id"]},
            ),
        },
        f"{fleet}/colos/{{colo}}": {
            "parameters": [here, _parameter("colo", "The colo's name.")],
            "patch": _operation(
                "colo-change",
                "Rename a colo",
                "Gives the enrolled agents of the colo to another name or city, with the join "
                "tokens that are for it. Jobs go on; what was measured keeps the old name.",
                ref("RenamedColo"),
                {"name": "den02", "agents": 3},
                body="ColoChange",
            ),
            "delete": _operation(
                "colo-forget",
                "Forget a colo",
                "Deletes the colo. Coordinators forget it within a minute if no agent of it is "
                "attached.",
                _id("name"),
                {"name": "den01"},
            ),
        },
    }


def _operation(
    name: str,
    summary: str,
    words: str,
    result: dict[str, Any],
    example: object,
    *,
    body: str = "",
) -> dict[str, Any]:
    others = failures()
    if not body:
        for status in ("408", "413", "415"):
            del others[status]
    failure = others["403"]["content"]
    others["404"] = {"description": "There is no such thing in the fleet.", "content": failure}
    others["409"] = {
        "description": "It cannot be done as things are: the name is taken, the agent has not "
        "enrolled, or the coordinator has no certificate authority.",
        "content": failure,
    }
    operation = {
        "operationId": f"diagnostics-traceroute-fleet-{name}",
        "summary": summary,
        "description": words + _NEEDS,
        "tags": ["Fleet"],
        "security": SECURITY,
        "responses": {
            "200": json_answer(summary, envelope(result, success=True), example),
            **dict(sorted(others.items())),
        },
    }
    if body:
        content = {"application/json": {"schema": ref(body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(name: str, words: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 97}
    return {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": ref(name)}


def _id(name: str) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": "string"}}}
