"""Coordinators that exchange reports, without a broker between them."""

import msgspec
import pytest
from colotrace_coordinator.errors import InvalidReportError
from colotrace_coordinator.peers.counts import MAX_KEY, Count
from colotrace_coordinator.peers.peers import (
    ALIVE_EVERY_S,
    GONE_AFTER_S,
    MAX_PEERS,
    MAX_REPORT,
    REPORT_EVERY_S,
    Peers,
)


class Sums:
    """Counts that are added up."""

    key_parts = 1

    def __init__(self) -> None:
        self.own: dict[str, int] = {}
        self.new: list[Count] = []
        self.of_others: list[tuple[str, str, int, bool]] = []
        self.departed: list[str] = []

    def use(self, key: str, number: int) -> None:
        self.own[key] = self.own.get(key, 0) + number
        self.new.append(Count((key,), number))

    def changes(self, now: float) -> list[Count]:  # noqa: ARG002
        new, self.new = self.new, []
        return new

    def everything(self) -> list[Count]:
        return [Count((key,), number) for key, number in self.own.items()]

    def heard(self, origin: str, count: Count, now: float, *, whole: bool) -> None:  # noqa: ARG002
        self.of_others.append((origin, count.key[0], count.number, whole))

    def gone(self, origin: str) -> None:
        self.departed.append(origin)


class Coordinator:
    def __init__(self, digit: str) -> None:
        self.peers, self.sums = Peers(digit * 32), Sums()
        self.peers.share("sums", self.sums)
        self.peers.connected()


def exchange(*coordinators: Coordinator, now: float, times: int = 1) -> list[bytes]:
    """One round of reports, to all as a broker does, their origin included."""
    sent = []
    for _ in range(times):
        reports = [report for each in coordinators for report in each.peers.to_send(now)]
        for report in reports:
            for each in coordinators:
                each.peers.heard(report, now)
        sent += reports
        now += REPORT_EVERY_S
    return sent


def test_others_hear_what_was_used_once() -> None:
    a, b = Coordinator("a"), Coordinator("b")
    exchange(a, b, now=0, times=3)
    assert (a.peers.coordinators, b.peers.coordinators) == (2, 2)
    a.sums.use("x", 3)
    exchange(a, b, now=1, times=3)
    assert [each for each in b.sums.of_others if not each[3]] == [("a" * 32, "x", 3, False)]
    assert a.sums.of_others == []
    assert a.peers.echoed


def test_newcomer_is_told_everything() -> None:
    a, b = Coordinator("a"), Coordinator("b")
    a.sums.use("x", 3)
    exchange(a, now=0)
    exchange(a, b, now=1, times=3)
    assert ("a" * 32, "x", 3, True) in b.sums.of_others


def test_coordinator_that_reconnects_is_told_everything_again() -> None:
    a, b = Coordinator("a"), Coordinator("b")
    exchange(a, b, now=0, times=3)
    a.sums.use("x", 3)
    list(a.peers.to_send(1.0))  # lost
    b.peers.connected()
    exchange(a, b, now=2, times=3)
    assert b.sums.of_others == [("a" * 32, "x", 3, True)]


def test_coordinator_that_is_silent_counts_as_gone() -> None:
    a, b = Coordinator("a"), Coordinator("b")
    exchange(a, b, now=0, times=2)
    exchange(a, now=GONE_AFTER_S - 0.1)
    assert a.peers.coordinators == 2
    exchange(a, now=GONE_AFTER_S + 0.2)
    assert (a.peers.coordinators, a.sums.departed) == (1, ["b" * 32])


def test_idle_coordinators_only_say_that_they_are_there() -> None:
    a, b = Coordinator("a"), Coordinator("b")
    exchange(a, b, now=0, times=5)
    rounds = int(10 * ALIVE_EVERY_S / REPORT_EVERY_S)
    assert len(exchange(a, b, now=1, times=rounds)) <= 2 * 11
    assert a.peers.coordinators == 2


def test_counts_are_dropped_while_there_is_no_other_coordinator() -> None:
    a = Coordinator("a")
    for second in range(100):
        a.sums.use("x", 1)
        exchange(a, now=second)
    assert a.sums.new == []


def test_many_counts_go_in_several_reports_within_the_bound() -> None:
    a, b = Coordinator("a"), Coordinator("b")
    exchange(a, b, now=0, times=3)
    for number in range(1_000):
        a.sums.use(f"{number:0{MAX_KEY}}", 1_000_000_000)
    sent = exchange(a, b, now=1, times=2)
    assert max(map(len, sent)) <= MAX_REPORT
    assert len(b.sums.of_others) == 1_000


def test_unknown_kind_and_field_of_a_later_version_are_ignored() -> None:
    b = Coordinator("b")
    report = {"origin": "a" * 32, "counts": {"later": [[["x", "y"], 3, 0.0]]}, "more": 1}
    b.peers.heard(msgspec.msgpack.encode(report), 0.0)
    assert (b.peers.coordinators, b.sums.of_others) == (2, [])


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(["a" * 32]),
        msgspec.msgpack.encode({"origin": "x"}),
        msgspec.msgpack.encode({"origin": "a" * 32, "counts": {"sums": [[[], 1, 0.0]]}}),
        msgspec.msgpack.encode({"origin": "a" * 32, "counts": {"sums": [[["x", "y"], 1, 0.0]]}}),
        msgspec.msgpack.encode({"origin": "a" * 32, "counts": {"sums": [[["x"], "1", 0.0]]}}),
        msgspec.msgpack.encode({"origin": "a" * 32, "counts": {"sums": [[["x"], 1 << 60, 0.0]]}}),
        msgspec.msgpack.encode({"origin": "a" * 32, "counts": {"sums": [[["x" * 999], 1, 0.0]]}}),
        msgspec.msgpack.encode(
            {"origin": "a" * 32, "counts": {"sums": [[["x"], 1, float("nan")]]}}
        ),
        bytes(MAX_REPORT + 1),
    ],
)
def test_invalid_reports_are_refused(report: bytes) -> None:
    b = Coordinator("b")
    with pytest.raises(InvalidReportError):
        b.peers.heard(report, 0.0)
    assert b.sums.of_others == []


def test_deeply_nested_field_is_refused() -> None:
    """It would exceed the depth of the interpreter's stack."""
    origin = b"\xa6origin" + msgspec.msgpack.encode("b" * 32)
    with pytest.raises(InvalidReportError):
        Peers("a" * 32).heard(b"\x82" + origin + b"\xa1x" + b"\x91" * 16_000 + b"\x01", 1.0)


def test_nothing_of_a_report_that_is_partly_invalid_counts() -> None:
    b = Coordinator("b")
    counts = {"sums": [[["x"], 1, 0.0], [["x", "y"], 1, 0.0]]}
    for report in ({"counts": counts}, {"counts": counts, "asks": True}):
        with pytest.raises(InvalidReportError, match="parts"):
            b.peers.heard(msgspec.msgpack.encode({"origin": "a" * 32} | report), 0.0)
    assert (b.sums.of_others, b.peers.coordinators) == ([], 1)


def test_number_of_coordinators_is_bounded() -> None:
    b = Coordinator("b")
    for number in range(MAX_PEERS):
        b.peers.heard(msgspec.msgpack.encode({"origin": f"{number:032x}"}), 0.0)
    with pytest.raises(InvalidReportError, match="more than"):
        b.peers.heard(msgspec.msgpack.encode({"origin": "f" * 32}), 0.0)
