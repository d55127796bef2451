"""A measurement's events over connections that break, against a real HTTP server."""

import json

import pytest
from colotrace_cli.config import Profile
from colotrace_cli.errors import DisconnectedError, RequestError
from colotrace_cli.live.following import Watch, followed, started
from colotrace_cli.live.state import Live
from colotrace_cli.settings import checked

MEASUREMENT = "0198c0de" * 4


@pytest.fixture
def settings(api):
    return checked(
        url=api.url, token="t", account="a", ca_file=None, profile=Profile("default", "")
    )


@pytest.fixture
def events(summary, colo_row):
    """Start, hops, row and end of a measurement of one row."""
    return [
        ("start", {"measurement": summary("running"), "rows": 1}),
        ("hops", {"target": 0, "colo": 0, "hops": colo_row()["hops"], "fresh": False}),
        ("row", {"target": 0, "colo": 0, "row": colo_row()}),
        ("end", {"measurement": summary()}),
    ]


def watch():
    """A watch that does not wait before it connects again."""

    async def pause(_seconds):
        return None

    return Watch(Live(), pause=pause)


async def test_post_itself_is_the_stream(api, settings, events):
    api.on("POST", "", api.streaming(*events))
    found, _ = await started(settings, b"{}", watch())
    assert [row.colo.name for row in found.rows[0].colos] == ["den01"]
    assert found.measurement.status == "complete"
    (asked,) = api.asked
    assert asked[2]["accept"] == "text/event-stream"


async def test_broken_stream_is_resumed_where_it_broke(api, settings, events):
    """Not asked for again: that would measure twice."""
    api.on("POST", "", api.streaming(*events[:2]))
    api.on(
        "GET",
        f"/{MEASUREMENT}/events",
        api.streaming(),
        api.replying(b"", status=503),
        api.streaming(*events[2:], first=3),
    )
    found, _ = await started(settings, b"{}", watch())
    assert len(found.rows[0].colos) == 1
    assert [each[0] for each in api.asked] == ["POST", "GET", "GET", "GET"]
    assert {each[2]["last-event-id"] for each in api.asked[1:]} == {"2"}


async def test_answer_without_events_is_taken(api, settings, envelope, colo_row):
    """Of an older coordinator, which does not know the type."""
    api.answers(envelope([{"target": "192.0.2.1", "colos": [colo_row()]}]))
    found, _ = await started(settings, b"{}", watch())
    assert len(found.rows) == 1
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [404, 406])
async def test_refused_type_is_asked_for_without(api, settings, envelope, failure, status):
    api.on("POST", "", api.replying(failure({"code": 1, "message": "x"}), status=status))
    api.answers(envelope([]))
    await started(settings, b"{}", watch())
    assert [each[2]["accept"] for each in api.asked] == ["text/event-stream", "application/json"]


async def test_error_is_told_at_once(api, settings, failure):
    api.answers(failure({"code": 10000, "message": "Authentication error"}), status=401)
    with pytest.raises(RequestError, match="10000"):
        await started(settings, b"{}", watch())
    assert len(api.asked) == 1


async def test_rows_that_no_event_brought_are_asked_for(api, settings, events, envelope, summary):
    """As of a cancelled measurement."""
    ended = ("end", {"measurement": summary("cancelled")})
    api.on("GET", f"/{MEASUREMENT}/events", api.streaming(*events[:2], ended))
    body = envelope([{"target": "192.0.2.1", "colos": []}]) | {"result_info": summary("cancelled")}
    api.on("GET", f"/{MEASUREMENT}", api.replying(body))
    found = await followed(settings, MEASUREMENT, watch())
    assert found.measurement.status == "cancelled"


async def test_coordinator_that_is_gone_is_given_up(api, settings, events):
    """After a bounded number of attempts without an event."""
    api.on("POST", "", api.streaming(*events[:2]))
    api.answer = api.streaming()
    with pytest.raises(DisconnectedError, match=f"colotrace show {MEASUREMENT}"):
        await started(settings, b"{}", watch())
    assert len(api.asked) < 20


async def test_coordinator_that_died_is_given_up_with_the_remedy(api, settings, events):
    api.on("POST", "", api.streaming(*events[:2]))

    async def dies(_seconds):
        api.server.socket.close()

    with pytest.raises(DisconnectedError, match="no connection") as raised:
        await started(settings, b"{}", Watch(Live(), pause=dies))
    assert f"at another coordinator, with: colotrace show {MEASUREMENT}" in str(raised.value)


@pytest.mark.parametrize("data", [{}, [], {"measurement": 1}])
async def test_event_of_another_shape_is_told(api, settings, data):
    api.answer = api.streaming(("start", data))
    with pytest.raises(RequestError, match="does not have the API's format"):
        await started(settings, b"{}", watch())


async def test_event_without_end_is_given_up(api, settings):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        for _ in range(9 * 1024):
            handler.wfile.write(b"data: " + b"x" * 1024 + b"\n")

    api.answer = answer
    with pytest.raises(RequestError, match="too large"):
        await started(settings, b"{}", watch())


async def test_unknown_measurement_is_an_error(api, settings, failure):
    api.answers(failure({"code": 7003, "message": json.dumps("x")}), status=404)
    with pytest.raises(RequestError, match="404"):
        await followed(settings, MEASUREMENT, watch())
