"""Checks that run side by side, and how their findings are printed."""

import json
import threading
import time

import pytest
from colotrace_proto.findings import Check, Finding, Status, examine, fail, ok, report, warn


def test_findings_keep_the_order_of_their_checks() -> None:
    """The second one ends first."""
    ended = threading.Event()

    def first() -> list[Finding]:
        assert ended.wait(10)
        return [ok("a", "1"), ok("a", "2")]

    def second() -> list[Finding]:
        ended.set()
        return [ok("b", "3")]

    checks = [Check("a", first), Check("b", second), Check("c", list)]
    assert [each.detail for each in examine(checks, within_s=20)] == ["1", "2", "3"]


def test_check_that_hangs_does_not_hold_up_the_others() -> None:
    forever = threading.Event()
    began = time.monotonic()
    found = examine(
        [Check("hangs", lambda: [ok("x", str(forever.wait()))]), Check("b", lambda: [ok("b", "")])],
        within_s=0.2,
    )
    forever.set()
    assert time.monotonic() - began < 5
    assert [(each.check, each.status) for each in found] == [
        ("hangs", Status.WARN),
        ("b", Status.OK),
    ]
    assert "no result within 0.2 s" in found[0].detail


def test_check_that_breaks_is_a_warning_with_the_reason() -> None:
    def breaks() -> list[Finding]:
        raise PermissionError(13, "Permission denied")

    [found] = examine([Check("broken", breaks)], within_s=10)
    assert (found.check, found.status) == ("broken", Status.WARN)
    assert "Permission denied" in found.detail
    assert found.remedy


@pytest.mark.parametrize("as_json", [False, True])
def test_report_fails_only_if_a_finding_does(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    assert report([ok("a", "x"), warn("b", "y", "do z")], as_json=as_json) == 0
    assert report([ok("a", "x"), fail("b", "y", "do z")], as_json=as_json) == 1
    lines = capsys.readouterr().out.splitlines()
    if as_json:
        assert json.loads(lines[1]) == {
            "ok": False,
            "findings": [
                {"check": "a", "status": "OK", "detail": "x", "remedy": ""},
                {"check": "b", "status": "FAIL", "detail": "y", "remedy": "do z"},
            ],
        }
    else:
        assert lines[3:] == ["OK    a: x", "FAIL  b: y", "      → do z"]


def test_text_of_others_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that holds a port has chosen its name, for example."""
    report([fail("port", "\x1b[2Jx (process 7) listens", "kill x\x9b1A")], as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "FAIL  port: \\x1b[2Jx (process 7) listens",
        "      → kill x\\x9b1A",
    ]
