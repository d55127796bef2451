"""The alert rules, as Prometheus reads them: `promtool` checks and evaluates them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from needs import need

TESTS = Path(__file__).with_name("alerts.yaml")
RULES = Path(__file__).parents[2] / "deploy/prometheus/colotrace.rules.yaml"
TESTED = {
    "ColotraceRowsNotStarted", "ColotraceOverloaded", "ColotraceLoopLate", "ColotraceSaturated",
    "ColotraceColosFull", "ColotraceWorkWaiting", "ColotraceAgentsNotReading",
    "ColotraceStreamQueuesLong", "ColotraceNamesDropped", "ColotraceAuditWaiting",
    "ColotraceAgentsNotAdmitted", "ColotraceHistoryNotWritten", "ColotraceHistoryDropped",
    "ColotraceBrokerLosesMessages", "ColotraceCertificateEnds", "ColotraceOwnCertificateEnds",
    "ColotraceAuthorityEnds", "ColotraceJoinTokenEnds", "ColotraceJoinTokenLeft",
    "ColotraceAgentsBehind",
}  # fmt: skip


def promtool(*words: str | Path) -> tuple[int, str]:
    """Its exit status, and what it says."""
    program = shutil.which("promtool")
    need(None if program else "promtool is not installed: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", *words], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_rules_are_valid() -> None:
    status, said = promtool("check", "rules", "--lint-fatal", RULES)
    assert status == 0, said


def test_rules_fire_when_a_coordinator_saturates() -> None:
    """And not before: each test has a time at which nothing fires."""
    status, said = promtool("test", "rules", TESTS)
    assert status == 0, said


def test_each_of_these_alerts_has_a_test_that_fires() -> None:
    tests = yaml.safe_load(TESTS.read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == TESTED
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == TESTED


@pytest.mark.parametrize(
    ("expression", "changed"),
    [("> 0.1", "> 0.3"), ("colotrace_work_waiting[5m]", "colotrace_jobs_running[5m]")],
)
def test_changed_rule_fails_its_test(tmp_path: Path, expression: str, changed: str) -> None:
    rules = RULES.read_text()
    assert expression in rules
    (tmp_path / RULES.name).write_text(rules.replace(expression, changed))
    text = TESTS.read_text().replace(f"../../deploy/prometheus/{RULES.name}", RULES.name)
    (tmp_path / TESTS.name).write_text(text)
    status, _ = promtool("test", "rules", tmp_path / TESTS.name)
    assert status == 1
