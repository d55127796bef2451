"""Messages between coordinators as bytes; nothing of the broker is trusted."""

import tracemalloc
import zlib

import msgspec
import pytest
from colotrace_coordinator.errors import InvalidReportError
from colotrace_coordinator.live.feed import RECORDED, Event, Kind
from colotrace_coordinator.peers.relay.follower import Follower
from colotrace_coordinator.peers.relay.messages import (
    MAX_MESSAGE,
    Cancelled,
    Echo,
    Ended,
    Follow,
    Leave,
    Message,
    Part,
    decode,
    encode,
    pack,
    unpack,
)
from colotrace_coordinator.peers.relay.runner import Runner
from hypothesis import given
from hypothesis import strategies as st
from unit.coordinator.peers.relay.between import ACCOUNT, FOLLOWERS, ID, RUNNER, Here

FOLLOW = {"kind": "follow", "origin": RUNNER, "session": 1, "account": ACCOUNT, "id": ID}
PART = {"kind": "part", "origin": RUNNER, "session": 1, "round": 0, "count": 0, "position": 1}


def test_message_is_read_as_it_was_written() -> None:
    messages: list[Message] = [
        Follow(origin=RUNNER, session=1, account="ä", id=ID, position=7, round=2),
        Leave(origin=RUNNER, session=1),
        Part(origin=RUNNER, session=2**63 - 1, round=1, count=2, position=3, data=b"\0"),
        Ended(origin=RUNNER, session=0),
        Cancelled(origin=RUNNER, session=0),
        Echo(origin=RUNNER, session=0),
    ]
    assert [decode(encode(each)) for each in messages] == messages


def test_unknown_kind_and_field_of_a_later_version_are_ignored() -> None:
    assert decode(msgspec.msgpack.encode({"kind": "later", "origin": 1})) is None
    message = decode(msgspec.msgpack.encode(FOLLOW | {"more": [1]}))
    assert message == Follow(origin=RUNNER, session=1, account=ACCOUNT, id=ID)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x91" * 10_000,
        bytes(MAX_MESSAGE + 1),
        *(
            msgspec.msgpack.encode(each)
            for each in (
                [],
                {"origin": RUNNER},
                {"kind": 1},
                FOLLOW | {"origin": "x"},
                FOLLOW | {"origin": f"{'a' * 31}+"},
                FOLLOW | {"session": -1},
                FOLLOW | {"session": 2**63},
                FOLLOW | {"id": ID[1:]},
                FOLLOW | {"account": ""},
                FOLLOW | {"account": "x" * 321},
                FOLLOW | {"position": "1"},
                FOLLOW | {"more": bytes(MAX_MESSAGE)},
                PART | {"pieces": 0},
                PART | {"pieces": 1_000},
                PART | {"data": "text"},
            )
        ),
    ],
)
def test_invalid_messages_are_refused(payload: bytes) -> None:
    with pytest.raises(InvalidReportError):
        decode(payload)


EVENTS = st.lists(
    st.builds(
        Event,
        sequence=st.integers(0, RECORDED - 1),
        kind=st.sampled_from(Kind),
        data=st.binary(max_size=200),
        row=st.none() | st.integers(0, 10_000),
    )
)


@given(EVENTS)
def test_batch_is_read_as_it_was_written(events: list[Event]) -> None:
    batch = unpack(b"".join(pack(events)))
    assert batch.events == events
    assert batch.position == max((each.sequence for each in events), default=0)
    assert batch.unknown == []


def test_events_of_a_later_kind_are_left_out_of_a_batch() -> None:
    plain = [[3, "row", 0, b"{}"], [4, "later", None, b"x"]]
    batch = unpack(zlib.compress(msgspec.msgpack.encode(plain)))
    assert batch.events == [Event(3, Kind.ROW, b"{}", 0)]
    assert (batch.position, batch.unknown) == (4, ["later"])


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"x",
        zlib.compress(b"x"),
        zlib.compress(b"\x91" * 10_000),
        zlib.compress(msgspec.msgpack.encode([[RECORDED, "message", None, b""]])),
        zlib.compress(msgspec.msgpack.encode([[1, "row", -1, b""]])),
        zlib.compress(msgspec.msgpack.encode([]))[:-1],
    ],
    ids=["empty", "other", "text", "deep", "sequence", "row", "cut off"],
)
def test_invalid_batches_are_refused(packed: bytes) -> None:
    with pytest.raises(InvalidReportError):
        unpack(packed)


def test_no_more_of_a_batch_is_unpacked_than_may_be() -> None:
    packed = zlib.compress(bytes(100 << 20))
    tracemalloc.start()
    with pytest.raises(InvalidReportError, match="too long"):
        unpack(packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


def test_batch_with_more_events_than_a_runner_sends_costs_nothing() -> None:
    plain = [(number, "message", None, b"") for number in range(200_000)]
    packed = zlib.compress(msgspec.msgpack.encode(plain))
    tracemalloc.start()
    with pytest.raises(InvalidReportError):
        unpack(packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


PLAUSIBLE = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["follow", "leave", "part", "ended", "cancel", "cancelled", "x"]),
        "origin": st.sampled_from([RUNNER, FOLLOWERS[0], "x"]) | st.integers(0, 9),
        "session": st.integers(-1, 3),
    },
    optional={
        "account": st.text(max_size=5) | st.just(ACCOUNT) | st.none(),
        "id": st.sampled_from([ID, "f" * 32, ""]),
        "position": st.integers(-1, 2**64 - 1),
        "round": st.integers(-1, 3) | st.floats(),
        "count": st.integers(-1, 3),
        "piece": st.integers(-1, 3),
        "pieces": st.integers(-1, 300),
        "data": st.binary(max_size=50) | EVENTS.map(lambda e: b"".join(pack(e))),
    },
).map(msgspec.msgpack.encode)


@given(st.lists(st.binary(max_size=200) | PLAUSIBLE, max_size=20))
def test_no_message_breaks_a_coordinator(payloads: list[bytes]) -> None:
    """Each is taken, ignored or refused; what it may use stays within its bounds."""
    runner = Runner(RUNNER, dropped=lambda _: None, wake=lambda: None)
    runner.local = Here()
    follower = Follower(FOLLOWERS[0], dropped=lambda _: None, unknown=lambda _: None)
    mirror = follower.follow(ACCOUNT, ID, 0.0)
    assert mirror is not None
    for now, payload in enumerate(payloads):
        for each in (payload, _for_session(payload, mirror.session)):
            try:
                message = decode(each)
                if isinstance(message, Part | Ended | Cancelled):
                    follower.heard(message, now / 100)
                elif message is not None and not isinstance(message, Echo):
                    runner.heard(message, now / 100, addressed=True)
            except InvalidReportError:
                continue
        for _, sent in [*runner.to_send(now / 100), *follower.to_send(now / 100)]:
            assert decode(sent) is not None
    assert runner.sessions <= 4 * 2


def _for_session(payload: bytes, session: int) -> bytes:
    """The message as one of the session, if it can be."""
    try:
        message = msgspec.msgpack.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return payload
    if not isinstance(message, dict):
        return payload
    return msgspec.msgpack.encode(message | {"session": session})
