"""Findings of `colotrace-agent check`."""

import enum
from dataclasses import dataclass


class Status(enum.Enum):
    """Severity of a finding."""

    OK = "OK"
    WARN = "WARN"
    """The host can trace, but answers may be missing or RTTs inaccurate."""
    FAIL = "FAIL"
    """The host cannot trace."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `remedy` is empty for OK."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    """A finding without a problem."""
    return Finding(check, Status.OK, detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    """A problem that does not prevent tracing."""
    return Finding(check, Status.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    """A problem that prevents tracing."""
    return Finding(check, Status.FAIL, detail, remedy)
