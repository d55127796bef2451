"""The host's clock, and the limit on open files."""

import resource
from pathlib import Path

from colotrace_proto.descriptors import MOST
from colotrace_proto.findings import Finding, ok, warn
from colotrace_proto.timex import ClockState, clock_state

_SYNCHRONISE = "run a time service (chrony, systemd-timesyncd, or the hypervisor's)"
_FILES = "Max open files"


def clock() -> list[Finding]:
    """Whether the clock is synchronised."""
    try:
        return [judge_clock(clock_state())]
    except OSError as error:
        return [warn("clock", f"could not look: {error.strerror}", _SYNCHRONISE)]


def judge_clock(state: ClockState) -> Finding:
    """Judge what the kernel says of its clock."""
    if not state.synchronised:
        return warn(
            "clock",
            "not synchronised: certificates, ids and the order of measurements depend on it",
            _SYNCHRONISE,
        )
    return ok("clock", f"synchronised, maximum error {state.max_error_us / 1e3:.0f} ms")


def descriptors(pid: int | None, *, proc: Path = Path("/proc")) -> list[Finding]:
    """The limit of the coordinator's process, or else of this one."""
    whose = "this shell's"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if pid is not None:
        try:
            lines = (proc / str(pid) / "limits").read_text().splitlines()
        except OSError:
            lines = []
        for line in lines:
            if line.startswith(_FILES):
                word = line.split()[-2]
                hard = resource.RLIM_INFINITY if word == "unlimited" else int(word)
                whose = "the coordinator's"
    return [judge_descriptors(hard, whose=whose)]


def judge_descriptors(hard: int, *, whose: str) -> Finding:
    """Judge the hard limit."""
    check = "open files"
    if hard == resource.RLIM_INFINITY or hard >= MOST:
        return ok(check, f"{whose} hard limit is enough")
    return warn(
        check,
        f"{whose} hard limit is {hard}, below {MOST}: fewer connections are accepted",
        f"LimitNOFILE={MOST} in the unit, or ulimit -Hn {MOST}",
    )
