"""Judgements of the way to the coordinator."""

from pathlib import Path

import pytest
from colotrace_agent.attachment import connection, nearby, renewing, state, unit
from colotrace_agent.host.diagnosis import files
from colotrace_proto.certificates import CertificateFault
from colotrace_proto.findings import Status
from colotrace_proto.messages import Failure, Frame, JobId, Node, Outcome, Replies

NOW = 1_800_000_000.0
HOUR_S, DAY_S = 3_600.0, 86_400.0


def test_name() -> None:
    assert connection.judge_name("a", ["::1"], took_s=0.1).status is Status.OK
    assert connection.judge_name("a", ["::1"], took_s=5).status is Status.WARN
    found = connection.judge_name("a", "Name or service not known", took_s=0)
    assert found.status is Status.FAIL
    assert "getent ahosts a" in found.remedy


def test_addresses_that_can_be_reached() -> None:
    good, bad = {"192.0.2.1": 0.01}, {"::1": "Connection refused"}
    assert connection.judge_tcp("a:1", good).status is Status.OK  # type: ignore[arg-type]
    assert connection.judge_tcp("a:1", {**good, **bad}).status is Status.WARN
    assert connection.judge_tcp("a:1", bad).status is Status.FAIL  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "detail", "remedy"),
    [
        (CertificateFault.EXPIRED, "has ended 3 hours ago", "set the clock"),
        (CertificateFault.NOT_YET_VALID, "is valid only in 2 hours", "it is behind"),
        (CertificateFault.OTHER_NAME, "is not for a", "--name a"),
        (CertificateFault.OTHER_AUTHORITY, "another CA than this agent knows (why)", "join anew"),
        (CertificateFault.UNKNOWN, "why", "firewalls"),
    ],
)
def test_certificate_that_is_not_accepted(
    fault: CertificateFault, detail: str, remedy: str
) -> None:
    found = connection.judge_tls("a:1", fault, "why", begins_s=2 * HOUR_S, ends_s=-3 * HOUR_S)
    assert found.status is Status.FAIL
    assert detail in found.detail
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("mtu", "status"), [(65_536, Status.OK), (1_500, Status.OK), (1_280, Status.WARN)]
)
def test_path_mtu(mtu: int, status: Status) -> None:
    assert connection.judge_mtu("192.0.2.1", mtu).status is status


def test_large_requests_that_get_lost() -> None:
    assert connection.judge_large(None).status is Status.FAIL
    assert connection.judge_large(1.9).status is Status.WARN


@pytest.mark.parametrize(
    ("ahead_s", "words"),
    [(0, "agree"), (3_700, "62 minutes ahead of"), (-7 * DAY_S, "7 days behind")],
)
def test_clock(ahead_s: float, words: str) -> None:
    found = renewing.judge_clock(ahead_s)
    assert words in found.detail
    assert bool(found.remedy) == bool(ahead_s)


@pytest.mark.parametrize(
    ("begins_d", "ends_d", "renew_d", "status", "words"),
    [
        (-1, 6, 3, Status.OK, "ends in 6 days, is renewed in 3 days"),
        (-6, 1, -2.5, Status.WARN, "its renewal is"),
        (-4, 3.3, -0.2, Status.OK, "ends in 3 days"),
        (1, 8, 4, Status.FAIL, "is valid only in 24 hours"),
        (-9, -2, -5, Status.FAIL, "has ended 2 days ago"),
        (-99, -40, -70, Status.FAIL, "has ended 40 days ago"),
        (-9, 5, None, Status.WARN, "ends in 5 days"),
        (-9, 50, None, Status.OK, "ends in 50 days"),
    ],
)
def test_validity(
    begins_d: float, ends_d: float, renew_d: float | None, status: Status, words: str
) -> None:
    found = state.judge_validity(
        begins_at=NOW + begins_d * DAY_S,
        ends_at=NOW + ends_d * DAY_S,
        renew_at=None if renew_d is None else NOW + renew_d * DAY_S,
        now=NOW,
    )
    assert found.status is status, found
    assert words in found.detail


def test_certificate_that_ended_long_ago_is_not_renewed_any_more() -> None:
    judged = [
        state.judge_validity(begins_at=0, ends_at=NOW - days * DAY_S, renew_at=1, now=NOW)
        for days in (29, 31)
    ]
    assert ["join anew" in each.remedy for each in judged] == [False, True]


def test_garbage_instead_of_a_certificate() -> None:
    [found] = state.certificate(b"x", b"y", renew_at=1)
    assert found.status is Status.FAIL


FACTS = state.DirectoryFacts(path=Path("/d"), uid=5, mode=0o700, open=(), foreign=(), free=1 << 30)


@pytest.mark.parametrize(
    ("changed", "runs_as", "status", "words"),
    [
        ({}, 5, Status.OK, "of user 5 alone"),
        ({}, 6, Status.FAIL, "the agent runs as 6"),
        ({"mode": 0o755}, 5, Status.WARN, "mode 755"),
        ({"open": ("agent.pem",)}, 5, Status.WARN, "can open agent.pem"),
        ({"foreign": ("agent.pem",)}, 5, Status.FAIL, "agent.pem in /d belong"),
        ({"free": 100}, 5, Status.FAIL, "does not fit"),
    ],
)
def test_directory(changed: dict[str, object], runs_as: int, status: Status, words: str) -> None:
    facts = state.DirectoryFacts(
        **({name: getattr(FACTS, name) for name in FACTS.__slots__} | changed)  # type: ignore[arg-type]
    )
    [found] = state.judge_directory(facts, runs_as=runs_as)
    assert found.status is status
    assert words in found.detail


UNIT = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "NRestarts": "0"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "runs"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "has failed (exit-code)"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "does not run (inactive, dead)"),
        ({"NRestarts": "7"}, "was restarted 7 times"),
        ({"UnitFileState": "disabled"}, "not after a reboot"),
    ],
)
def test_unit(changed: dict[str, str], words: str) -> None:
    [found] = unit.judge(UNIT | changed)
    assert words in found.detail


def test_missing_unit_is_not_mentioned() -> None:
    assert unit.judge({"LoadState": "not-found"}) == []
    assert unit.judge({}) == []


def test_settings_of_the_unit_that_were_not_checked() -> None:
    [found] = unit.judge_unchecked("COLOTRACE_COORDINATOR")
    assert found.status is Status.WARN
    assert "/etc/colotrace/agent.env has COLOTRACE_COORDINATOR" in found.detail
    assert unit.judge_unchecked("") == []


def test_short_trace() -> None:
    hop = bytes([192, 0, 2, 1])
    replies = Replies(ttl=(1,), rtt_ns=(5,), node=(0,), nodes=(Node(hop),))
    found = nearby.judge("192.0.2.9", Frame(JobId(""), 1, replies=replies))
    assert (found.status, "hop 1 192.0.2.1" in found.detail) == (Status.OK, True)
    silent = nearby.judge("192.0.2.9", Frame(JobId(""), 1))
    assert (silent.status, "no router" in silent.detail) == (Status.WARN, True)
    refused = Frame(JobId(""), 1, outcome=Outcome(failure=Failure.SEND))
    assert nearby.judge("192.0.2.9", refused).status is Status.WARN
    assert nearby.judge("192.0.2.9", None).status is Status.WARN


def test_open_files() -> None:
    assert files.judge(65_536).status is Status.OK
    assert files.judge(1_024).status is Status.WARN
