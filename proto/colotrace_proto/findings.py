"""Findings of `colotrace-agent check` and `colotrace-coordinator doctor`: made side by side, each
in bounded time, and printed in one form."""

import enum
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from .text import safe

EXIT_FAILED = 1
_MOST = 2_000


class Status(enum.Enum):
    """Severity of a finding."""

    OK = "OK"
    WARN = "WARN"
    """It works, but not as well as it could, or not for long."""
    FAIL = "FAIL"
    """It does not work."""


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
    """A problem with which it works."""
    return Finding(check, Status.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    """A problem with which it does not work."""
    return Finding(check, Status.FAIL, detail, remedy)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. `name` is for its finding if it has none of its own."""

    name: str
    look: Callable[[], Iterable[Finding]]


def examine(checks: Sequence[Check], *, within_s: float) -> list[Finding]:
    """The findings of all checks, in their order.

    Each runs in a thread of its own. One that has no result in time, or breaks, is a warning: the
    others go on, and the program ends without it.
    """
    results: dict[Check, list[Finding]] = {}

    def run(check: Check) -> None:
        try:
            results[check] = list(check.look())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others matter
            detail = f"could not look: {error or type(error).__name__}"
            results[check] = [warn(check.name, detail, "run this as root, or look by hand")]

    threads = [
        threading.Thread(target=run, args=(check,), name=check.name, daemon=True)
        for check in checks
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    late = f"no result within {within_s:g} s"
    return [
        finding
        for check in checks
        for finding in results.get(check)
        or ([] if check in results else [warn(check.name, late, "run this again, or look by hand")])
    ]


def report(found: Sequence[Finding], *, as_json: bool) -> int:
    """Print the findings. Returns the exit code: 1 if one failed, else 0."""
    failed = any(each.status is Status.FAIL for each in found)
    if as_json:
        findings = [asdict(each) | {"status": each.status.value} for each in found]
        print(json.dumps({"ok": not failed, "findings": findings}))  # noqa: T201 - the output
    else:
        print("\n".join(_lines(found)))  # noqa: T201 - the output
    return EXIT_FAILED if failed else 0


def _lines(found: Iterable[Finding]) -> Iterator[str]:
    for each in found:
        # Programs of other users, brokers and peers have named themselves in some of them.
        yield safe(f"{each.status.value:<5} {each.check}: {each.detail}", most=_MOST)
        if each.remedy:
            yield f"      → {safe(each.remedy, most=_MOST)}"
