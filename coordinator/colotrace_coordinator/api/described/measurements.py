"""The OpenAPI document of the routes of measurements."""

from typing import Any

from colotrace_analysis.merging import By
from colotrace_formats.negotiation import Live
from colotrace_proto.measured import Outcome
from colotrace_proto.messages import PacketType

from colotrace_coordinator.api.request.listing import MOST_PER_PAGE, PER_PAGE

from .measuring import EXAMPLE_RESULT
from .parts import (
    ACCOUNT,
    EXAMPLE_ID,
    EXAMPLE_SUMMARY,
    SECURITY,
    account,
    envelope,
    failures,
    format_contents,
    format_parameter,
    json_answer,
    query,
    ref,
    success,
    with_info,
)

_PAGE = {"count": 1, "per_page": PER_PAGE}


def measurement_paths() -> dict[str, Any]:
    """The paths, but for what is at the path of POST itself: `list_measurements`."""
    one = f"{ACCOUNT}/{{id}}"
    mine = {"parameters": [account(), _id("id")]}
    both = {"parameters": [account(), _id("id"), _id("other")]}
    return {
        one: {**mine, "get": _show(), "delete": _delete()},
        f"{one}/events": {**mine, "get": _events()},
        f"{one}/rows": {**mine, "get": _rows()},
        f"{one}/graph": {**mine, "get": _graph()},
        f"{one}/diff/{{other}}": {**both, "get": _diff()},
    }


def list_measurements() -> dict[str, Any]:
    """GET at the path of POST."""
    result = {"type": "array", "items": ref("SummaryShape")}
    words = (
        "Measurements of the account, newest first. A page without `cursor` in `result_info` is "
        "the last; a page by number past the end is empty."
    )
    return _get(
        "list",
        "Measurements",
        words,
        json_answer(
            "One page.",
            with_info(result, "ListInfo"),
            [EXAMPLE_SUMMARY],
            info=_PAGE,
        ),
        parameters=[
            query("target", "Only those with this target, as it was asked for."),
            query("colo", "Only those from this colo, or from a colo of this code."),
            query("since", "Begun then or later: RFC 3339, or seconds since 1970."),
            query("until", "Begun before then."),
            query("packet_type", "Only of this type.", enum=[k.value for k in PacketType]),
            query("outcome", "The worst of the rows.", enum=[o.value for o in Outcome]),
            *_paging(),
        ],
    )


def _show() -> dict[str, Any]:
    result = {"type": "array", "items": ref("TargetRow")}
    schema = with_info(result, "SummaryShape")
    example = success(EXAMPLE_RESULT, info=EXAMPLE_SUMMARY)
    contents = format_contents(schema, example)
    answer = {"description": "The measurement.", "content": contents}
    operation = _get(
        "show",
        "One measurement",
        "As the answer to POST; of a running one what there is so far. Probes of a row that is "
        "being traced count once they are answered, or can no longer be in time.",
        answer,
        parameters=[format_parameter()],
    )
    operation["responses"]["304"] = {"description": "It is as If-None-Match says."}
    return operation


def _delete() -> dict[str, Any]:
    words = (
        "Cancels a measurement that runs: it is kept with what there is. Removes one that has "
        "ended, unless `if` is `running`."
    )
    answer = json_answer("As it is now, or was.", _of("SummaryShape"), EXAMPLE_SUMMARY)
    return _get(
        "delete",
        "Cancel or remove",
        words,
        answer,
        parameters=[query("if", "Only cancel.", enum=["running"])],
    )


def _events() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    answer = {
        "description": "Server-sent events `start`, `hops`, `row`, `message` and `end`; or the "
        "finished rows as lines of JSON.",
        "content": {each.value: text for each in Live},
    }
    words = "What there is, and then what comes. `Last-Event-ID` continues after an event."
    return _get("events", "Follow a measurement", words, answer)


def _rows() -> dict[str, Any]:
    result = {"type": "array", "items": ref("PairRow")}
    example = {"measurement": EXAMPLE_SUMMARY, "row": EXAMPLE_RESULT[0]["colos"][0]}
    return _get(
        "rows",
        "One row over time",
        "The row of a target and a colo in this measurement and in earlier ones, newest first.",
        json_answer("One page.", with_info(result, "ListInfo"), [example], info=_PAGE),
        parameters=[
            query("target", "One of the measurement's targets; needed if it has several."),
            query("colo", "One of the measurement's colos; needed if it has several."),
            query(
                "replies",
                "`true` adds the recorded replies of each row. A page ends with the row that "
                "reaches 20,000 of them.",
                enum=["true", "false"],
                default="false",
            ),
            *_paging(),
        ],
    )


def _graph() -> dict[str, Any]:
    return _get(
        "graph",
        "Merged paths",
        "The paths of all colos, merged, and what bad rows share that good ones don't.",
        json_answer("The graph.", with_info(ref("Graph.Graph"), "SummaryShape"), None),
        parameters=[
            query("target", "Only this target."),
            query("by", "What is one node.", enum=[by.value for by in By], default="address"),
        ],
    )


def _diff() -> dict[str, Any]:
    return _get(
        "diff",
        "Compare two measurements",
        "What differs between this measurement and a later one.",
        json_answer("The differences.", _of("Diff.Diff"), None),
    )


def _get(
    name: str,
    summary: str,
    words: str,
    answer: dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    others = failures()
    for status in ("408", "413", "415"):
        del others[status]
    if name != "list":
        others["404"] = {
            **others["400"],
            "description": "The account has no measurement with this id.",
        }
    return {
        "operationId": f"diagnostics-traceroute-{name}",
        "summary": summary,
        "description": words,
        "tags": ["Measurements"],
        "security": SECURITY,
        "parameters": parameters or [],
        "responses": {"200": answer, **others},
    }


def _of(name: str) -> dict[str, Any]:
    return envelope(ref(name), success=True)


def _paging() -> list[dict[str, Any]]:
    number = {"type": "integer", "minimum": 1}
    return [
        query("cursor", "The cursor of the page before."),
        {**query("page", "The page's number."), "schema": number},
        {
            **query("per_page", "Elements of a page."),
            "schema": {**number, "maximum": MOST_PER_PAGE, "default": PER_PAGE},
        },
    ]


def _id(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$", "example": EXAMPLE_ID},
    }
