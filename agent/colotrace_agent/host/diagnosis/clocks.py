"""Checks the wall clock, with which the kernel stamps packets."""

import ctypes
import os
from pathlib import Path

from .finding import Finding, ok, warn

# linux/timex.h.
_STA_INS, _STA_DEL, _STA_UNSYNC = 0x0010, 0x0020, 0x0040
_SLOW = {"hpet", "acpi_pm", "jiffies", "refined-jiffies"}
_SYNCHRONISE = "run a time service (chrony, systemd-timesyncd, or the hypervisor's)"


class _Timex(ctypes.Structure):
    """struct timex; the fields after `status` are not used."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def findings(*, sys: Path) -> list[Finding]:
    """The clock's synchronisation and its source."""
    return [_read(), _source(sys)]


def judge(*, status: int, max_error_us: int) -> Finding:
    """Judge the result of adjtimex(2)."""
    check = "clock"
    if status & _STA_UNSYNC:
        return warn(
            check,
            "not synchronised: if it is set during a trace, RTTs come from the monotonic clock and "
            "are less accurate",
            _SYNCHRONISE,
        )
    if status & (_STA_INS | _STA_DEL):
        return warn(check, "a leap second is due at the end of the day: a step", _SYNCHRONISE)
    return ok(check, f"synchronised, maximum error {max_error_us / 1e3:.0f} ms")


def _read() -> Finding:
    timex = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        reason = os.strerror(ctypes.get_errno())
        return warn("clock", f"could not look: {reason}", _SYNCHRONISE)
    return judge(status=timex.status, max_error_us=timex.maxerror)


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
