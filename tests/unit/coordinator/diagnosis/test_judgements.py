"""Judgements of the other subjects: names, storage, agents, look-ups, the host."""

import resource
from typing import Any

import pytest
from colotrace_coordinator.diagnosis import fleet, host, lookups, names, storage
from colotrace_coordinator.store.inspection import DatabaseFacts
from colotrace_coordinator.store.listed import ListedAgent
from colotrace_coordinator.store.schema import HEAD
from colotrace_proto.findings import Finding, Status
from colotrace_proto.timex import ClockState

NOW = 1_800_000_000.0
LIFETIME_S = 7 * 86_400.0
GIB = 1 << 30


@pytest.mark.parametrize(
    ("name", "addresses", "status", "words"),
    [
        ("a.example", "Name or service not known", Status.FAIL, "does not resolve"),
        ("a.example", {"192.0.2.199"}, Status.WARN, "which this host does not have"),
        ("a.example", {"127.0.1.1"}, Status.WARN, "other hosts cannot reach"),
        ("127.0.0.1", {"127.0.0.1"}, Status.WARN, "other hosts cannot reach"),
    ],
)
def test_first_name(name: str, addresses: Any, status: Status, words: str) -> None:
    found = names.judge(name, addresses, first=True)
    assert found.status is status
    assert words in found.detail
    assert found.remedy


def test_later_name_may_be_local() -> None:
    assert names.judge("localhost", {"127.0.0.1", "::1"}, first=False).status is Status.OK


def facts(**given: Any) -> DatabaseFacts:
    return DatabaseFacts(**({"revision": HEAD, "latency_ms": 1.0, "size": 5} | given))


@pytest.mark.parametrize(
    ("given", "check", "status"),
    [
        ({}, "database", Status.OK),
        ({"revision": None}, "database", Status.WARN),
        ({"revision": "0001"}, "database", Status.WARN),
        ({"revision": "9999"}, "database", Status.FAIL),
        ({"damage": "row 7 missing from index"}, "database content", Status.FAIL),
        ({"damage": None}, "database content", Status.OK),
        ({"latency_ms": 300.0}, "database latency", Status.WARN),
        ({"clock_ahead_s": -60.0}, "database clock", Status.WARN),
    ],
)
def test_database(given: dict[str, Any], check: str, status: Status) -> None:
    found = {each.check: each for each in storage.judge("x", facts(**given), owners=None)}
    assert found[check].status is status


def test_file_of_another_user_than_its_directory() -> None:
    found = storage.judge("x", facts(), owners=("0", "999"))
    assert (found[-1].status, found[-1].remedy) == (Status.WARN, "chown 999 x*")


@pytest.mark.parametrize(
    ("free", "inodes", "used", "status"),
    [
        (20 * GIB, None, 0, Status.OK),
        (5 * GIB, 1_000, 0, Status.WARN),
        (5 * GIB, 1_000, 6 * GIB, Status.OK),
        (1 << 20, 1_000, 10 * GIB, Status.FAIL),
        (20 * GIB, 5, 0, Status.FAIL),
    ],
)
def test_disk(free: int, inodes: int | None, used: int, status: Status) -> None:
    found = storage.judge_disk("/x", free=free, inodes=inodes, used=used, keep_bytes=10 * GIB)
    assert found.status is status


def agent(
    name: str,
    *,
    ends_in_s: float = 0.8 * LIFETIME_S,
    state: str = "enrolled",
    attached: bool = True,
    **told: Any,
) -> ListedAgent:
    return ListedAgent(
        id=name,
        colo="den01",
        agent_id=name,
        state=state,
        certificate_ends_at=int(NOW + ends_in_s),
        attached_since=1 if attached else None,
        **({"version": "0.3.0"} | told),
    )


GOOD = agent("good")
REVOKED = agent("stolen", state="revoked")


@pytest.mark.parametrize(
    ("agents", "running", "words"),
    [
        ([GOOD], True, "1 known, 1 attached"),
        ([GOOD], False, "1 known"),
        ([], True, "there is none"),
        ([agent("gone", state="revoked", attached=False)], True, "there is none"),
        ([agent("off", attached=False)], True, "none is attached: den01/off"),
        ([GOOD, agent("off", attached=False)], True, "1 of 2 are not attached: den01/off"),
        (
            [GOOD, agent("off", attached=False, last_trouble="its stream ended")],
            True,
            "den01/off (its stream ended)",
        ),
        ([GOOD, agent("late", ends_in_s=3_600)], False, "not renewed in time: den01/late"),
        ([GOOD, agent("off", ends_in_s=-3_600)], False, "have ended: den01/off"),
        ([GOOD, REVOKED], True, "revoked, and still attached: den01/stolen"),
        ([agent("old", version="0.2.0")], True, "(0.3.0): den01/old (0.2.0)"),
    ],
)
def test_agents(agents: list[ListedAgent], running: bool, words: str) -> None:
    found = judged(agents, running=running)
    assert any(words in each.detail for each in found), found
    assert all(bool(each.remedy) == (each.status is not Status.OK) for each in found)


def judged(agents: list[ListedAgent], *, running: bool) -> list[Finding]:
    return fleet.judge(agents, running=running, version="0.3.0", lifetime_s=LIFETIME_S, now=NOW)


def test_what_is_noted_of_attached_agents_is_old_if_nothing_runs() -> None:
    assert [each.status for each in judged([GOOD, REVOKED], running=False)] == [Status.OK]


def test_many_names_are_counted() -> None:
    agents = [agent(f"a{number}", ends_in_s=-9) for number in range(50)]
    [found] = judged(agents, running=True)
    assert found.detail.endswith("den01/a4 and 45 more")


@pytest.mark.parametrize(
    ("answer", "status"),
    [(0.01, Status.OK), (0.9, Status.WARN), ("no answer within 2 s", Status.WARN)],
)
def test_resolver(answer: float | str, status: Status) -> None:
    assert lookups.judge_resolver("::1", answer).status is status


@pytest.mark.parametrize(
    ("days", "damage", "status"),
    [(10, "", Status.OK), (200, "", Status.WARN), (1, "5 of 512 lookups", Status.WARN)],
)
def test_asn_file(days: float, damage: str, status: Status) -> None:
    built_at = int(NOW - days * 86_400)
    assert lookups.judge_asn_file("x", built_at=built_at, damage=damage, now=NOW).status is status


def test_clock() -> None:
    assert host.judge_clock(ClockState(0, 5_000)).status is Status.OK
    assert host.judge_clock(ClockState(0x40, 5_000)).status is Status.WARN


@pytest.mark.parametrize(
    ("hard", "status"),
    [(resource.RLIM_INFINITY, Status.OK), (65_536, Status.OK), (1_024, Status.WARN)],
)
def test_descriptors(hard: int, status: Status) -> None:
    assert host.judge_descriptors(hard, whose="its").status is status
