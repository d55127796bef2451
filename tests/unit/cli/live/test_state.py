"""What events add up to."""

import json

import pytest
from colotrace_cli.live.state import Live


@pytest.fixture
def live(summary):
    """A measurement of one target from two colos that has begun."""
    found = Live()
    begun = {"measurement": summary("running", colos=["den01", "sin01"]), "rows": 2}
    found.take("start", json.dumps(begun).encode())
    return found


def hops(live, *ttls, colo=0, fresh=False, lost=0):
    each = [
        {"packets_ttl": ttl, "packets_sent": 3, "packets_lost": lost, "nodes": []} for ttl in ttls
    ]
    event = {"target": 0, "colo": colo, "hops": each, "fresh": fresh}
    live.take("hops", json.dumps(event).encode())


def test_hops_of_a_row_are_merged_by_ttl(live):
    hops(live, 1, 3)
    hops(live, 2)
    hops(live, 3, lost=1)
    assert sorted(live.hops[0, 0]) == [1, 2, 3]
    assert live.hops[0, 0][3].packets_lost == 1


def test_row_that_another_agent_traces_anew_begins_again(live):
    hops(live, 1, 2, 3)
    hops(live, 1, fresh=True)
    assert sorted(live.hops[0, 0]) == [1]


def test_rows_come_in_the_answers_order(live, colo_row, summary):
    for colo, name in ((1, "sin01"), (0, "den01")):
        event = {"target": 0, "colo": colo, "row": colo_row(name)}
        live.take("row", json.dumps(event).encode())
    hops(live, 9)  # of a row that has ended
    assert not live.whole
    live.take("end", json.dumps({"measurement": summary(colos=["den01", "sin01"])}).encode())
    assert live.whole
    (target,) = live.answer().rows
    assert [row.colo.name for row in target.colos] == ["den01", "sin01"]
    assert live.hops == {}


def test_repeated_events_change_nothing(live):
    message = json.dumps({"code": 1111, "message": "a notice"}).encode()
    for _ in range(3):
        live.take("message", message)
    assert len(live.messages) == 1


@pytest.mark.parametrize("colo", [-1, 2, 10**9])
def test_row_that_was_not_asked_for_is_ignored(live, colo_row, colo):
    live.take("row", json.dumps({"target": 0, "colo": colo, "row": colo_row()}).encode())
    hops(live, 1, colo=colo)
    assert live.rows == live.hops == {}


def test_unknown_event_is_ignored(live):
    live.take("later", b"not JSON")


@pytest.mark.parametrize("kind", ["start", "hops", "row", "message", "end"])
@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_data_of_another_shape_is_an_error(live, kind, data):
    with pytest.raises((ValueError, RecursionError)):
        live.take(kind, data)


def test_another_start_forgets_all(live, colo_row, summary):
    """What still holds comes again after it."""
    hops(live, 1, colo=1)
    live.take("row", json.dumps({"target": 0, "colo": 0, "row": colo_row("den01")}).encode())
    live.take("message", json.dumps({"code": 1111, "message": "a notice"}).encode())
    live.take("start", json.dumps({"measurement": summary("running", colos=["fra01"])}).encode())
    assert (live.hops, live.rows, live.messages) == ({}, {}, [])
    assert live.places() == [(0, 0)]
