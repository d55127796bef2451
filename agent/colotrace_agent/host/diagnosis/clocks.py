"""Checks the wall clock, with which the kernel stamps packets."""

from pathlib import Path

from colotrace_proto.findings import Finding, ok, warn
from colotrace_proto.timex import ClockState, clock_state

_SLOW = {"hpet", "acpi_pm", "jiffies", "refined-jiffies"}
_SYNCHRONISE = "run a time service (chrony, systemd-timesyncd, or the hypervisor's)"


def findings(*, sys: Path) -> list[Finding]:
    """The clock's synchronisation and its source."""
    return [_read(), _source(sys)]


def judge(state: ClockState) -> Finding:
    """Judge what the kernel says of its clock."""
    check = "clock"
    if not state.synchronised:
        return warn(
            check,
            "not synchronised: if it is set during a trace, RTTs come from the monotonic clock and "
            "are less accurate",
            _SYNCHRONISE,
        )
    if state.leap:
        return warn(check, "a leap second is due at the end of the day: a step", _SYNCHRONISE)
    return ok(check, f"synchronised, maximum error {state.max_error_us / 1e3:.0f} ms")


def _read() -> Finding:
    try:
        return judge(clock_state())
    except OSError as error:
        return warn("clock", f"could not look: {error.strerror}", _SYNCHRONISE)


def _source(sys: Path) -> Finding:
    check = "clock source"
    try:
        path = sys / "devices/system/clocksource/clocksource0/current_clocksource"
        source = path.read_text().strip()
    except OSError:
        return ok(check, "not visible here")
    if source in _SLOW:
        return warn(
            check,
            f"{source}: reading it takes about a microsecond",
            "let the kernel use tsc or the hypervisor's clock (boot parameter clocksource=)",
        )
    return ok(check, source)
