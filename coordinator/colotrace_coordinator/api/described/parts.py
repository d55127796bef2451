"""Parts of the OpenAPI document that several routes share."""

from typing import Any

from colotrace_formats.formats import FORMATS, JSON
from colotrace_proto.codes import Code

REF = "#/components/schemas/{name}"
ACCOUNT = "/accounts/{account_id}/diagnostics/traceroute"
SECURITY: list[dict[str, list[str]]] = [{"api_token": []}, {"api_email": [], "api_key": []}]
_FAILURES = {
    "400": "Missing or malformed credentials, malformed JSON, a body of another shape, or a colo "
    "that is not known; one error for each fault.",
    "401": "The token or key is not valid; `error_chain` has the cause if it has expired or was "
    "revoked.",
    "403": "The credential is good, but not for this account, or not for this.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON, or is compressed.",
    "429": "Too many requests; see Retry-After.",
    "5XX": "The coordinator cannot answer now; not to be tried again automatically.",
}

EXAMPLE_ID = "0193d1f4a5b67c8d9e0f1a2b3c4d5e6f"
EXAMPLE_SUMMARY = {
    "id": EXAMPLE_ID,
    "status": "complete",
    "outcome": "complete",
    "began_at": "2026-01-31T12:00:00.000Z",
    "ended_at": "2026-01-31T12:00:00.812Z",
    "took_ms": 812,
    "asked_by": "0f9a1c",
    "targets": ["1.1.1.1"],
    "colos": ["den01"],
    "options": {
        "max_ttl": 15,
        "packet_type": "icmp",
        "packets_per_ttl": 3,
        "port": 0,
        "wait_time": 1,
        "multipath": False,
        "family": 0,
    },
    "rows": {"asked": 1, "finished": 1, "failed": 0, "unreached": 0},
}


def envelope(result: dict[str, Any], *, success: bool) -> dict[str, Any]:
    """The schema of the envelope around a result."""
    lines = {"type": "array", "items": ref("Line")}
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


def failures() -> dict[str, Any]:
    """The answers that say why a request failed."""
    example = {
        "success": False,
        "errors": [{"code": Code.UNKNOWN_CREDENTIALS, "message": "Authentication error"}],
        "messages": [],
        "result": None,
    }
    content = {"application/json": {"schema": ref("Failure"), "example": example}}
    return {status: {"description": text, "content": content} for status, text in _FAILURES.items()}


def json_answer(
    text: str, schema: dict[str, Any], result: object, *, info: object = None
) -> dict[str, Any]:
    """An answer with an example of its result, if that is not None, and of `result_info`."""
    content: dict[str, Any] = {"schema": schema}
    if result is not None:
        content["example"] = success(result, info=info)
    return {"description": text, "content": {"application/json": content}}


def success(result: object, *, info: object = None) -> dict[str, Any]:
    """An example of an envelope."""
    example = {"success": True, "errors": [], "messages": [], "result": result}
    return example if info is None else {**example, "result_info": info}


def account() -> dict[str, Any]:
    """The parameter `account_id`."""
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


def security_schemes() -> dict[str, Any]:
    """The ways to prove who one is."""
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


def ref(name: str) -> dict[str, str]:
    """A reference to a schema by its name."""
    return {"$ref": REF.format(name=name)}


def format_contents(schema: dict[str, Any], example: object) -> dict[str, Any]:
    """The content of an answer in each format."""
    text = {"schema": {"type": "string"}}
    others = {each.media_type: text for each in FORMATS.values() if each is not JSON}
    return {JSON.media_type: {"schema": schema, "example": example}, **others}


def format_parameter() -> dict[str, Any]:
    """The parameter `format`."""
    return query(
        "format",
        "The format of the answer; it wins over Accept.",
        enum=list(FORMATS),
        default=JSON.name,
    )


def query(name: str, words: str, **schema: object) -> dict[str, Any]:
    """A parameter of the query."""
    return {
        "name": name,
        "in": "query",
        "description": words,
        "schema": {"type": "string", **schema},
    }


def with_info(result: dict[str, Any], info: str) -> dict[str, Any]:
    """The envelope of a result with a `result_info`."""
    schema = envelope(result, success=True)
    schema["properties"]["result_info"] = ref(info)
    schema["required"] = [*schema["required"], "result_info"]
    return schema
