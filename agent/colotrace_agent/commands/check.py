"""`colotrace-agent check`: whether this host can trace well, and what to change if not."""

from pathlib import Path

from colotrace_proto.findings import report

from colotrace_agent.host.diagnosis import clocks, firewall, kernel, sending
from colotrace_agent.host.diagnosis.ruleset import Ruleset

_PROC, _SYS = Path("/proc"), Path("/sys")


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
    return report(found, as_json=json)
