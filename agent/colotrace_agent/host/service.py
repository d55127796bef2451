"""The systemd unit that runs this host's agent, as the Debian package installs it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from colotrace_agent.errors import AgentError

UNIT = "colotrace-agent.service"
SETTINGS = Path("/etc/colotrace/agent.env")

_RUNNING = Path("/run/systemd/system")
_PLACES = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("/lib/systemd/system"),
)
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_START_S, _ANSWER_S = 180.0, 5.0
# With one of these the unit's agent is not the one that has joined.
_OTHERS = re.compile(
    r"^[ \t]*(COLOTRACE_(?:COLO|CITY|COORDINATOR|INSECURE|TLS_CERT|TLS_KEY|TLS_CA))[ \t]*=[ \t]*\S",
    re.MULTILINE,
)


class ServiceError(AgentError):
    """The unit did not start; the text says why."""


def is_installed() -> bool:
    """Whether systemd runs here, has the unit, and this process may start it."""
    return (
        os.geteuid() == 0
        and _RUNNING.is_dir()
        and any((place / UNIT).exists() for place in _PLACES)
    )


def other_identity(settings: Path = SETTINGS) -> str:
    """The first variable of the unit's settings that says who the agent is; "" if none does."""
    try:
        found = _OTHERS.search(settings.read_text(errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def start() -> None:
    """Enable the unit, and start it, or start it anew. Returns once it is active.

    Raises:
        ServiceError: it does not become active.
    """
    for verb in ("enable", "restart"):
        try:
            done = _systemctl("--quiet", verb, UNIT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceError(f"systemctl {verb} {UNIT}: {error}") from error
        if done.returncode:
            words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
            raise ServiceError(f"systemctl {verb} {UNIT}: {words}")


def properties(names: Iterable[str]) -> dict[str, str]:
    """The unit's properties by name (systemctl(1), show); empty if systemd does not answer."""
    try:
        done = _systemctl("show", UNIT, f"--property={','.join(names)}", within_s=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


def _systemctl(*words: str, within_s: float = _START_S) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("systemctl", path=_PATH) or "systemctl"
    environment = {"PATH": _PATH, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [program, "--system", "--no-pager", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=within_s,
        env=environment,
    )
