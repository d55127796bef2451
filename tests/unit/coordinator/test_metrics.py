"""Series that exist before their first event, and agents that are refused."""

from typing import cast

import pytest
import structlog
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.fleet.fleet import Fleet
from colotrace_coordinator.fleet.link import AgentLink, Rejection
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.jobs.starts import Gate
from colotrace_coordinator.metrics import JOB_CODES, KINDS, Metrics
from colotrace_proto.messages import ColoName
from prometheus_client import CollectorRegistry
from unit.coordinator.scripted_agent import hello
from unit.coordinator.volatile import VolatileMemory

SIN = ColoName("sin01")


@pytest.fixture
def numbers() -> CollectorRegistry:
    return CollectorRegistry()


def test_colo_known_from_before_has_its_series(numbers: CollectorRegistry) -> None:
    """At 0, though no agent of it has attached since the start."""
    registry = Registry(VolatileMemory([(SIN, "Singapore, SG")]))
    Fleet(registry, metrics=Metrics(numbers), log=structlog.get_logger())
    for state in ("up", "draining"):
        assert numbers.get_sample_value("colotrace_agents", {"colo": SIN, "state": state}) == 0
    assert numbers.get_sample_value("colotrace_agent_losses_total", {"colo": SIN}) == 0
    for kind in KINDS:
        labels = {"colo": SIN, "kind": kind}
        assert numbers.get_sample_value("colotrace_agent_packets_total", labels) == 0


def test_every_error_code_begins_at_0(numbers: CollectorRegistry) -> None:
    """So that the first failed row is an increase."""
    Metrics(numbers)
    assert set(JOB_CODES) == {"0", "cancelled", "1", "2", "3", "4"}
    for code in JOB_CODES:
        assert numbers.get_sample_value("colotrace_jobs_total", {"code": code}) == 0


@pytest.mark.parametrize(
    ("route", "method"),
    [("traceroute", "POST"), ("traceroute", "GET"), ("measurement", "DELETE"), ("events", "GET")],
)
def test_statuses_of_measurements_begin_at_0(
    numbers: CollectorRegistry, route: str, method: str
) -> None:
    """The same for answers that are errors."""
    HttpMetrics(numbers)
    for status in ("200", "429", "500", "503"):
        labels = {"route": route, "method": method, "status": status}
        assert numbers.get_sample_value("colotrace_http_requests_total", labels) == 0


def test_jobs_not_started_begin_at_0_for_each_cause(numbers: CollectorRegistry) -> None:
    """The causes are those that the order of starts knows."""
    Metrics(numbers)
    for gate in Gate:
        labels = {"waited_for": gate.value}
        assert numbers.get_sample_value("colotrace_jobs_not_started_total", labels) == 0


def test_agents_not_admitted_begin_at_0_for_each_reason(numbers: CollectorRegistry) -> None:
    """The reasons are those for which a link rejects an agent."""
    Metrics(numbers)
    for reason in Rejection:
        assert not_admitted(numbers, reason) == 0


def test_agent_beyond_the_bound_is_counted_and_logged(numbers: CollectorRegistry) -> None:
    """By /metrics and in one line of the log, an operator sees that the coordinator is full."""
    registry = Registry(VolatileMemory(), max_agents=1)
    with structlog.testing.capture_logs() as logged:
        fleet = Fleet(registry, metrics=Metrics(numbers), log=structlog.get_logger())
        link = cast("AgentLink", None)  # nothing is sent
        assert fleet.admit(hello("first"), link, 0.0, available=True) is None
        for _ in range(3):
            rejected = fleet.admit(hello("second"), link, 0.0, available=True)
            assert rejected is not None
            assert rejected.reason is Rejection.FULL
    assert not_admitted(numbers, Rejection.FULL) == 3
    assert not_admitted(numbers, Rejection.UNFIT) == 0
    assert [line["event"] for line in logged].count("agent_not_admitted") == 1


def not_admitted(numbers: CollectorRegistry, reason: Rejection) -> float | None:
    labels = {"reason": reason.value}
    return numbers.get_sample_value("colotrace_agents_not_admitted_total", labels)


def test_forgotten_colo_has_no_series(numbers: CollectorRegistry) -> None:
    """Their number is bounded with the colos'."""
    metrics = Metrics(numbers)
    metrics.know_colo(SIN)
    metrics.forget_colo(SIN)
    assert numbers.get_sample_value("colotrace_agents", {"colo": SIN, "state": "up"}) is None
    assert numbers.get_sample_value("colotrace_agent_losses_total", {"colo": SIN}) is None
