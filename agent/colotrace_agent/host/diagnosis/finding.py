"""What a look at the host came to."""

import enum
from dataclasses import dataclass


class Status(enum.Enum):
    """How well it stands."""

    OK = "OK"
    WARN = "WARN"
    """It traces, but some answers may be missing or some times wrong."""
    FAIL = "FAIL"
    """It does not trace."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `remedy` is empty where there is nothing to do."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    """Something to be put right."""
    return Finding(check, Status.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    """Nothing works without it."""
    return Finding(check, Status.FAIL, detail, remedy)
