"""The agent's unit of systemd, if it is installed."""

from colotrace_proto.findings import Finding, ok, warn

from colotrace_agent.host import service
from colotrace_agent.host.service import SETTINGS, UNIT

_PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "NRestarts")
_MANY = 3


def findings() -> list[Finding]:
    """What systemd says; nothing without it."""
    return judge(service.properties(_PROPERTIES))


def judge_unchecked(variable: str) -> list[Finding]:
    """`variable` of the unit's settings says where an agent attaches that has not joined; "" if
    none does. Only systemd reads that file as it is meant."""
    if not variable:
        return []
    return [
        warn(
            "settings",
            f"{SETTINGS} has {variable}, and what it says was not checked",
            f"systemd-run --pipe --quiet --property=EnvironmentFile={SETTINGS} "
            "colotrace-agent check",
        )
    ]


def judge(state: dict[str, str]) -> list[Finding]:
    """`state`: the unit's properties by name."""
    if state.get("LoadState") != "loaded":
        return []
    check, log = "service", f"its log says why: journalctl -u {UNIT} -n 50"
    active, words = state.get("ActiveState", ""), state.get("SubState", "")
    if active == "failed":
        return [warn(check, f"{UNIT} has failed ({state.get('Result')})", log)]
    if active != "active":
        return [
            warn(
                check,
                f"{UNIT} does not run ({active}, {words})",
                f"systemctl enable --now {UNIT}; if this host has not joined, paste the line of "
                "colotrace-coordinator agent enroll",
            )
        ]
    restarts = state.get("NRestarts", "0")
    if restarts.isdecimal() and int(restarts) >= _MANY:
        return [warn(check, f"{UNIT} runs, but was restarted {restarts} times", log)]
    if state.get("UnitFileState") == "disabled":
        return [warn(check, f"{UNIT} runs, but not after a reboot", f"systemctl enable {UNIT}")]
    return [ok(check, f"{UNIT} runs")]
