"""`colotrace-agent check`: whether this host can trace well, and what to change if not."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from colotrace_agent.host.diagnosis import clocks, firewall, kernel, sending
from colotrace_agent.host.diagnosis.finding import Finding, Status
from colotrace_agent.host.diagnosis.ruleset import Ruleset

_PROC, _SYS = Path("/proc"), Path("/sys")
EXIT_FAILED = 1


def check(*, refusal: str, ruleset: Ruleset, json: bool) -> int:
    """Print the findings. Returns the exit code: 1 if the host cannot trace, else 0.

    `refusal` says why the process may not send raw packets; "" if it may.
    """
    found = [
        *sending.findings(refusal=refusal),
        *kernel.findings(proc=_PROC),
        *firewall.findings(ruleset, proc=_PROC),
        *clocks.findings(sys=_SYS),
    ]
    failed = any(each.status is Status.FAIL for each in found)
    if json:
        line = msgspec.json.encode({"ok": not failed, "findings": found})
        print(line.decode())  # noqa: T201 - the command's output
    else:
        print("\n".join(_lines(found)))  # noqa: T201 - the command's output
    return EXIT_FAILED if failed else 0


def _lines(found: Iterable[Finding]) -> Iterable[str]:
    for each in found:
        yield f"{each.status.value:<5} {each.check}: {each.detail}"
        if each.remedy:
            yield f"      → {each.remedy}"
