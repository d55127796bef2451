"""Metrics of what runs out."""

from colotrace_coordinator.enrolment.running_out import MOST_VERSIONS, OTHER, show_versions
from colotrace_coordinator.metrics import Metrics
from prometheus_client import CollectorRegistry


def shown(versions: list[str], *, own: str) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    show_versions(metrics, ["9.9.9"], own=own)
    show_versions(metrics, versions, own=own)
    return {
        (sample.labels["version"], sample.labels["behind"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "colotrace_agent_versions"
    }


def test_versions_are_compared_as_numbers() -> None:
    """Those that have gone are not shown any more."""
    assert shown(["0.9.0", "0.9.0", "0.10.0", "0.11.0"], own="0.10.0") == {
        ("0.9.0", "yes"): 2,
        ("0.10.0", "no"): 1,
        ("0.11.0", "no"): 1,
    }


def test_texts_that_agents_choose_are_bounded() -> None:
    assert shown(["", "x" * 500], own="1.0") == {(OTHER, "no"): 2}
    many = shown([f"0.{number}" for number in range(50)], own="1.0")
    assert len(many) == MOST_VERSIONS + 1
    assert sum(many.values()) == 50
