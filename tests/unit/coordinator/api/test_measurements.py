"""The routes of measurements: which are listed, how one is shown, cancelled and removed."""

from typing import Any

import httpx
import pytest
from colotrace_coordinator.api.routes import measurements as routes
from colotrace_coordinator.errors import DamagedMeasurementError
from colotrace_coordinator.measurements.ids import Ids
from colotrace_proto.measured import Options, Remark, Status, Summary, Trace
from colotrace_proto.messages import ColoName, Node, NodeKind, PacketType, Replies
from colotrace_proto.rows import Colo
from colotrace_proto.tally import Gathered, Known
from unit.coordinator.api.conftest import ACCOUNT, BEARER, PATH
from unit.coordinator.remembered import RememberedHistory

DEN, SIN = ColoName("den01"), ColoName("sin01")
BEGAN_MS = 1_790_000_000_000


def kept(
    history: RememberedHistory,
    *,
    at_ms: int = BEGAN_MS,
    account: str = ACCOUNT,
    targets: tuple[str, ...] = ("web.example",),
    status: Status = Status.COMPLETE,
    options: Options | None = None,
    failed: int = 0,
    rows: int | None = None,
) -> Summary:
    """A measurement in the history, from two colos."""
    colos = (DEN, SIN)
    summary = Summary(
        id=Ids(lambda: at_ms).new(),
        account_id=account,
        caller="t1",
        coordinator="c" * 32,
        status=status,
        began_ms=at_ms,
        ended_ms=None if status is Status.RUNNING else at_ms + 812,
        targets=targets,
        colos=colos,
        options=options or Options(),
        finished=len(targets) * 2 if rows is None else rows,
        failed=failed,
    )
    history.begun(summary)
    for number in range(summary.rows if rows is None else rows):
        target, colo = summary.place(number)
        history.row(summary, number, trace(targets[target], colos[colo], at_ms))
    history.ended(summary, Known({"10.0.0.1": "gw.example"}, {"192.0.2.7": "AS64500"}))
    return summary


def trace(target: str, colo: ColoName, at_ms: int) -> Trace:
    nodes = (Node(bytes([10, 0, 0, 1])), Node(bytes([192, 0, 2, 7]), NodeKind.TARGET))
    return Trace(
        gathered=Gathered(
            target=target,
            colo=Colo(city="Denver, CO, US", name=colo),
            target_address=bytes([192, 0, 2, 7]),
            sent=(3, 3),
            replies=Replies((1, 1, 2), (1_000_000, 2_000_000, 5_000_000), (0, 0, 1), nodes),
            duration_ns=9_000_000,
        ),
        began_ms=at_ms,
        remarks=(Remark(1111, f"{colo}: hop 1 limits"),),
    )


async def got(client: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    response = await client.get(PATH + path, headers=BEARER, params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_shown_measurement_has_rows_and_summary(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    body = await got(client, f"/{summary.id}")
    assert list(body) == ["success", "errors", "messages", "result", "result_info"]
    [target] = body["result"]
    assert [row["colo"]["name"] for row in target["colos"]] == ["den01", "sin01"]
    first = target["colos"][0]["hops"][0]
    assert (first["packets_lost"], first["nodes"][0]["name"]) == (1, "gw.example")
    assert body["messages"][1]["source"]["pointer"] == "/result/0/colos/1"
    assert body["result_info"] == {
        "id": summary.id,
        "status": "complete",
        "outcome": "complete",
        "began_at": "2026-09-21T14:13:20.000Z",
        "ended_at": "2026-09-21T14:13:20.812Z",
        "took_ms": 812,
        "asked_by": "t1",
        "targets": ["web.example"],
        "colos": ["den01", "sin01"],
        "options": {
            "max_ttl": 15,
            "packet_type": "icmp",
            "packets_per_ttl": 3,
            "port": 0,
            "wait_time": 1,
            "multipath": False,
            "family": 0,
        },
        "rows": {"asked": 2, "finished": 2, "failed": 0, "unreached": 0},
    }


@pytest.mark.parametrize(
    ("status", "rows", "outcome"),
    [
        (Status.RUNNING, 1, "unfinished"),
        (Status.PARTIAL, 1, "unfinished"),
        (Status.COMPLETE, 2, "complete"),
    ],
)
async def test_outcome_tells_whether_rows_are_missing(
    client: httpx.AsyncClient,
    history: RememberedHistory,
    status: Status,
    rows: int,
    outcome: str,
) -> None:
    summary = kept(history, status=status, rows=rows)
    assert (await got(client, f"/{summary.id}"))["result_info"]["outcome"] == outcome
    found = (await got(client, "", outcome=outcome))["result"]
    assert [each["id"] for each in found] == [summary.id]
    assert (await got(client, "", outcome="errors"))["result"] == []


async def test_missing_row_of_a_partial_measurement_has_an_error(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history, status=Status.PARTIAL, rows=1)
    body = await got(client, f"/{summary.id}")
    first, second = body["result"][0]["colos"]
    assert first["error"] == ""
    assert second["error"] == "Could not gather traceroute data: Code 2"
    assert second["hops"] == []
    assert "the coordinator ended before this row did" in body["messages"][-1]["message"]


async def test_unchanged_measurement_is_answered_with_304(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    first = await client.get(f"{PATH}/{summary.id}", headers=BEARER)
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = await client.get(f"{PATH}/{summary.id}", headers={**BEARER, "If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await client.get(f"{PATH}/{summary.id}", headers={**BEARER, "If-None-Match": '"x"'})
    assert other.status_code == 200


@pytest.mark.parametrize("tail", ["", "/events", "/rows", "/graph"])
async def test_measurement_of_another_account_is_not_there(
    client: httpx.AsyncClient, history: RememberedHistory, tail: str
) -> None:
    summary = kept(history, account="other")
    response = await client.get(f"{PATH}/{summary.id}{tail}", headers=BEARER)
    assert response.status_code == 404
    assert response.json()["errors"][0]["code"] == 1022
    gone = await client.delete(f"{PATH}/{summary.id}", headers=BEARER)
    assert gone.status_code == 404
    assert summary.id in history.summaries


async def test_list_is_newest_first_and_pages_by_cursor(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    """A measurement that begins between two pages moves none of them."""
    ids = [kept(history, at_ms=BEGAN_MS + n).id for n in range(5)]
    first = await got(client, "", per_page=2)
    assert [each["id"] for each in first["result"]] == [ids[4], ids[3]]
    assert first["result_info"] == {"count": 2, "per_page": 2, "cursor": ids[3]}
    kept(history, at_ms=BEGAN_MS + 9)
    second = await got(client, "", per_page=2, cursor=first["result_info"]["cursor"])
    assert [each["id"] for each in second["result"]] == [ids[2], ids[1]]
    last = await got(client, "", per_page=2, cursor=second["result_info"]["cursor"])
    assert [each["id"] for each in last["result"]] == [ids[0]]
    assert "cursor" not in last["result_info"]


async def test_list_pages_by_number_and_is_empty_past_the_end(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    ids = [kept(history, at_ms=BEGAN_MS + n).id for n in range(3)]
    second = await got(client, "", page=2, per_page=2)
    assert [each["id"] for each in second["result"]] == [ids[0]]
    assert second["result_info"] == {"count": 1, "per_page": 2, "page": 2}
    assert (await got(client, "", page=3, per_page=2))["result"] == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"target": "web.example"}, 1),
        ({"target": "mail.example"}, 1),
        ({"colo": "DEN"}, 2),
        ({"colo": "sin01"}, 2),
        ({"colo": "fra"}, 0),
        ({"packet_type": "udp"}, 1),
        ({"outcome": "errors"}, 1),
        ({"since": "2026-09-21T14:13:20.5Z"}, 1),
        ({"until": "1790000000.5"}, 1),
        ({"since": "2026-09-21T14:13:20Z", "until": "2026-09-21T16:13:22+02:00"}, 2),
    ],
)
async def test_list_is_filtered(
    client: httpx.AsyncClient, history: RememberedHistory, query: dict[str, str], found: int
) -> None:
    kept(history)
    udp = Options(packet_type=PacketType.UDP)
    kept(history, at_ms=BEGAN_MS + 1_000, targets=("mail.example",), options=udp, failed=1)
    assert len((await got(client, "", **query))["result"]) == found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"since": "yesterday"}, "since must be a time"),
        ({"until": "9" * 60}, "until must be a time"),
        ({"packet_type": "sctp"}, "packet_type must be one of icmp, udp"),
        ({"outcome": "fine"}, "outcome must be one of complete, unfinished"),
        ({"cursor": "x"}, "cursor must be"),
        ({"per_page": "101"}, "per_page must be a number from 1 to 100"),
        ({"page": "0"}, "page must be a number from 1 to 100"),
        ({"targt": "a"}, "targt is not a parameter of this route"),
        ({"target": "x" * 300}, "target must have at most 255"),
    ],
)
async def test_invalid_parameter_is_named(
    client: httpx.AsyncClient, query: dict[str, str], words: str
) -> None:
    response = await client.get(PATH, headers=BEARER, params=query)
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["code"] == 1001
    assert error["message"].startswith(words)


async def test_delete_removes_what_has_ended_unless_only_running_ones_are_meant(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    left = await client.delete(f"{PATH}/{summary.id}", headers=BEARER, params={"if": "running"})
    assert (left.status_code, left.json()["result"]["status"]) == (200, "complete")
    assert summary.id in history.summaries
    gone = await client.delete(f"{PATH}/{summary.id}", headers=BEARER)
    assert (gone.status_code, gone.json()["result"]["id"]) == (200, summary.id)
    again = await client.delete(f"{PATH}/{summary.id}", headers=BEARER)
    assert again.status_code == 404


async def test_delete_with_another_condition_is_refused(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    wrong = await client.delete(f"{PATH}/{summary.id}", headers=BEARER, params={"if": "ended"})
    assert wrong.status_code == 400
    assert summary.id in history.summaries


async def test_running_measurement_of_a_silent_coordinator_is_not_removed(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history, status=Status.RUNNING)
    response = await client.delete(f"{PATH}/{summary.id}", headers=BEARER)
    assert response.status_code == 503
    assert response.json()["errors"][0]["code"] == 1023


async def test_row_over_time(client: httpx.AsyncClient, history: RememberedHistory) -> None:
    """Only up to the measurement that is asked; the target need not be named if it has one."""
    ids = [kept(history, at_ms=BEGAN_MS + n).id for n in range(4)]
    kept(history, at_ms=BEGAN_MS + 5, targets=("mail.example",))
    body = await got(client, f"/{ids[2]}/rows", colo="sin01", per_page=2)
    assert [each["measurement"]["id"] for each in body["result"]] == [ids[2], ids[1]]
    assert {each["row"]["colo"]["name"] for each in body["result"]} == {"sin01"}
    last = await got(client, f"/{ids[2]}/rows", colo="sin01", cursor=body["result_info"]["cursor"])
    assert [each["measurement"]["id"] for each in last["result"]] == [ids[0]]
    numbered = {"colo": "sin01", "page": 2}
    refused = await client.get(f"{PATH}/{ids[2]}/rows", headers=BEARER, params=numbered)
    assert refused.json()["errors"][0]["message"] == "page is not a parameter of this route"
    wrong = await client.get(f"{PATH}/{ids[0]}/rows", headers=BEARER, params={"target": "x"})
    assert [each["message"] for each in wrong.json()["errors"]] == [
        "target must be one of the measurement's: web.example",
        "colo must be one of the measurement's: den01, sin01",
    ]


async def test_replies_of_a_row(client: httpx.AsyncClient, history: RememberedHistory) -> None:
    """By TTL, in full resolution; only where they were asked for."""
    summary = kept(history)
    for value in ("false", ""):
        body = await got(client, f"/{summary.id}/rows", colo="sin01", replies=value)
        assert "replies" not in body["result"][0]
    body = await got(client, f"/{summary.id}/rows", colo="sin01", replies="true")
    [pair] = body["result"]
    assert list(pair) == ["measurement", "row", "replies"]
    assert pair["replies"] == [
        {"ttl": 1, "rtt_ms": 1.0, "ip": "10.0.0.1"},
        {"ttl": 1, "rtt_ms": 2.0, "ip": "10.0.0.1"},
        {"ttl": 2, "rtt_ms": 5.0, "ip": "192.0.2.7"},
    ]
    wrong = await client.get(
        f"{PATH}/{summary.id}/rows", headers=BEARER, params={"replies": "1", "colo": "sin01"}
    )
    assert wrong.json()["errors"][0]["message"] == "replies must be true or false"


async def test_page_of_many_replies_is_short_and_goes_on(
    client: httpx.AsyncClient, history: RememberedHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row comes once, whatever the pages."""
    monkeypatch.setattr(routes, "MOST_REPLIES", 4)
    ids = [kept(history, at_ms=BEGAN_MS + n).id for n in range(5)]
    found, cursor, pages = list[str](), "", 0
    while pages == 0 or cursor:
        body = await got(
            client, f"/{ids[-1]}/rows", colo="sin01", replies="true", per_page=3, cursor=cursor
        )
        assert body["result_info"]["count"] == len(body["result"]) <= 2
        found += [each["measurement"]["id"] for each in body["result"]]
        cursor, pages = body["result_info"].get("cursor", ""), pages + 1
    assert found == ids[::-1]
    assert pages == 3
    body = await got(client, f"/{ids[-1]}/rows", colo="sin01", per_page=5)
    assert len(body["result"]) == 5


async def test_graph_of_a_measurement(
    client: httpx.AsyncClient, history: RememberedHistory
) -> None:
    summary = kept(history)
    body = await got(client, f"/{summary.id}/graph")
    assert [node["ip"] for node in body["result"]["nodes"]] == ["", "", "10.0.0.1", "192.0.2.7"]
    assert body["result_info"]["id"] == summary.id
    dot = await client.get(f"{PATH}/{summary.id}/graph", headers=BEARER, params={"format": "dot"})
    assert dot.json()["errors"][0]["message"] == "format is not a parameter of this route"
    by_asn = await got(client, f"/{summary.id}/graph", by="asn", target="web.example")
    assert by_asn["result"]["by"] == "asn"
    wrong = await client.get(f"{PATH}/{summary.id}/graph", headers=BEARER, params={"by": "ip"})
    assert wrong.status_code == 400


async def test_asynchronous_request_is_answered_at_once(client: httpx.AsyncClient) -> None:
    response = await client.post(
        PATH + "/",
        json={"targets": ["192.0.2.1"], "colos": ["den01"]},
        headers={**BEARER, "Prefer": "wait=5, Respond-Async"},
    )
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    measurement_id = response.headers["measurement-id"]
    assert response.headers["location"] == f"{PATH}/{measurement_id}"
    body = response.json()
    assert (body["success"], body["result"]) == (True, [])
    assert body["result_info"]["id"] == measurement_id


async def test_answer_tells_its_measurement(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={"targets": ["192.0.2.1"]}, headers=BEARER)
    assert response.headers["location"] == f"{PATH}/{response.headers['measurement-id']}"
    assert list(response.json()) == ["success", "errors", "messages", "result"]


async def test_damaged_measurement_is_told_apart_from_a_broken_database(
    client: httpx.AsyncClient, history: RememberedHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = kept(history)

    async def damaged(*_: object) -> None:
        raise DamagedMeasurementError("it is not as written")

    monkeypatch.setattr(history, "show", damaged)
    response = await client.get(f"{PATH}/{summary.id}", headers=BEARER)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (500, 1025)
    assert (await client.delete(f"{PATH}/{summary.id}", headers=BEARER)).status_code == 200
