"""Checks the limit on open files."""

import resource

from colotrace_proto.descriptors import MOST
from colotrace_proto.findings import Finding, ok, warn


def findings() -> list[Finding]:
    """Whether the hard limit is enough: the agent raises the soft one itself."""
    return [judge(resource.getrlimit(resource.RLIMIT_NOFILE)[1])]


def judge(hard: int) -> Finding:
    """Judge the hard limit."""
    check = "open files"
    if hard == resource.RLIM_INFINITY or hard >= MOST:
        return ok(check, "the hard limit is enough")
    return warn(
        check,
        f"this shell's hard limit is {hard}, below {MOST}: fewer UDP and TCP traces run at once",
        f"LimitNOFILE={MOST} in the unit, or ulimit -Hn {MOST}",
    )
