"""The OpenAPI document of the routes about the request's own credential."""

from typing import Any

from colotrace_coordinator.api.request.listing import MOST_PER_PAGE, PER_PAGE

from .parts import SECURITY, envelope, failures, json_answer, query, ref, with_info

_TOKEN = {"id": "0f9a1c", "status": "active", "expires_on": "2027-01-31T12:00:00.000Z"}
_ACCOUNT = {
    "id": "demo",
    "name": "demo",
    "type": "standard",
    "permissions": ["diagnostics:traceroute"],
}
_INFO = {"page": 1, "per_page": PER_PAGE, "count": 1, "total_count": 1, "total_pages": 1}


def credential_paths() -> dict[str, Any]:
    """The paths."""
    return {"/user/tokens/verify": {"get": _verify()}, "/accounts": {"get": _accounts()}}


def _verify() -> dict[str, Any]:
    words = (
        "The token of `Authorization`, also if it is no longer valid: then `status` is `expired`, "
        "or `disabled` if it was revoked, and the request counts as a failed one. An unknown "
        "token is answered with 401."
    )
    answer = json_answer("The token.", envelope(ref("TokenLine"), success=True), _TOKEN)
    return _get("token-verify", "Whether a token works", words, answer, security=SECURITY[:1])


def _accounts() -> dict[str, Any]:
    words = "The accounts that the token or key is for, by id, and what it may do in each."
    schema = with_info({"type": "array", "items": ref("AccountLine")}, "AccountsInfo")
    number = {"type": "integer", "minimum": 1}
    operation = _get(
        "accounts",
        "Accounts",
        words,
        json_answer("One page; one past the end is empty.", schema, [_ACCOUNT], info=_INFO),
        security=SECURITY,
    )
    operation["parameters"] = [
        query("name", "Only the account of this name."),
        query("direction", "The order.", enum=["asc", "desc"], default="asc"),
        {**query("page", "The page's number."), "schema": {**number, "default": 1}},
        {
            **query("per_page", "Elements of a page."),
            "schema": {**number, "maximum": MOST_PER_PAGE, "default": PER_PAGE},
        },
    ]
    return operation


def _get(
    name: str,
    summary: str,
    words: str,
    answer: dict[str, Any],
    *,
    security: list[dict[str, list[str]]],
) -> dict[str, Any]:
    others = failures()
    for status in ("403", "408", "413", "415"):
        del others[status]
    return {
        "operationId": name,
        "summary": summary,
        "description": words,
        "tags": ["Credentials"],
        "security": security,
        "responses": {"200": answer, **others},
    }
