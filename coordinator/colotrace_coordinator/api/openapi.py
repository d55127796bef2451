"""The OpenAPI document of `/openapi.json`.

It is written by hand, because it states a public contract (docs/adr/0014). Tests compare it with
that contract and with real answers.
"""

from typing import Any

import msgspec
from colotrace_analysis.diff import Diff
from colotrace_analysis.graph import Graph
from colotrace_proto import rows
from colotrace_proto.codes import Code

from colotrace_coordinator.lines import Line
from colotrace_coordinator.measurements.shapes import SummaryShape

from .described.credentials import credential_paths
from .described.fleet import fleet_paths, fleet_schemas
from .described.measurements import list_measurements, measurement_paths
from .described.measuring import agents, colos, request, traceroute
from .described.parts import ACCOUNT, REF, account, envelope, ref, security_schemes
from .routes.agents import AgentLine
from .routes.colos import ColoLine
from .routes.credentials import AccountLine, AccountsInfo, TokenLine
from .routes.fleet import FleetAgent, JoinTokenLine, NewJoinToken, RenamedColo
from .routes.measurements import ListInfo, PairRow

_SHAPES = [
    rows.TargetRow,
    ColoLine,
    AgentLine,
    Line,
    SummaryShape,
    ListInfo,
    PairRow,
    TokenLine,
    AccountLine,
    AccountsInfo,
    FleetAgent,
    JoinTokenLine,
    NewJoinToken,
    RenamedColo,
]
_APART = [Graph, Diff]
"""Their parts have names that others have too."""


def describe_api(version: str, *, operation: bool = True) -> dict[str, Any]:
    """The whole document; `operation` includes `/healthz`, `/readyz` and `/metrics`."""
    _, schemas = msgspec.json.schema_components(_SHAPES, ref_template=REF)
    for shape in _APART:
        apart = REF.format(name=shape.__name__ + ".{name}")
        _, found = msgspec.json.schema_components([shape], ref_template=apart)
        schemas |= {f"{shape.__name__}.{name}": schema for name, schema in found.items()}
    schemas |= fleet_schemas()
    schemas = {name: _nullable(schema) for name, schema in schemas.items()}
    errors = [rows.error_text(code) for code in range(5)]
    schemas["ColoRow"]["properties"]["error"]["enum"] = errors
    schemas["Line"]["properties"]["code"]["minimum"] = min(Code)
    schemas["TracerouteRequest"] = request()
    schemas["Failure"] = envelope({"nullable": True, "enum": [None]}, success=False)
    here = {"parameters": [account()]}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "colotrace",
            "version": version,
            "description": "Traceroutes from your own colos.",
        },
        "servers": [{"url": "/client/v4", "description": "The same is served without the prefix."}],
        "paths": {
            ACCOUNT: {**here, "post": traceroute(), "get": list_measurements()},
            f"{ACCOUNT}/colos": {**here, "get": colos()},
            f"{ACCOUNT}/agents": {**here, "get": agents()},
            **measurement_paths(),
            **credential_paths(),
            **fleet_paths(),
            **(_operation() if operation else {}),
        },
        "components": {"schemas": schemas, "securitySchemes": security_schemes()},
    }


def _nullable(schema: Any) -> Any:
    """A schema of JSON Schema 2020-12 as OpenAPI 3.0 has it: null is no type there."""
    if isinstance(schema, list):
        return [_nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _nullable(value) for name, value in schema.items()}
    several = found.get("anyOf", [])
    if {"type": "null"} in several:
        [other] = [each for each in several if each != {"type": "null"}]
        del found["anyOf"]
        found |= {"allOf": [other]} if "$ref" in other else other
        found["nullable"] = True
    return found


def _operation() -> dict[str, Any]:
    return {
        "/healthz": _plain("The process answers", "health"),
        "/readyz": _plain("The database answers too, and the MQTT broker if there is one", "ready"),
        "/metrics": _plain("Numbers for Prometheus", "metrics", media="text/plain"),
    }


def _plain(text: str, name: str, *, media: str = "application/json") -> dict[str, Any]:
    shape = {"type": "string"} if media == "text/plain" else {"type": "object"}
    answers = {"200": {"description": text, "content": {media: {"schema": shape}}}}
    if name == "ready":
        failure = {"application/json": {"schema": ref("Failure")}}
        answers["503"] = {"description": "It does not", "content": failure}
    operation = {"operationId": name, "summary": text, "tags": ["Operation"], "responses": answers}
    return {"servers": [{"url": "/"}], "get": operation}
