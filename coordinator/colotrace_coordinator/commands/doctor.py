"""The command `doctor`."""

from collections.abc import Callable

from colotrace_proto.findings import Finding, fail, report

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.settings import ServeSettings


def doctor(settings: Callable[[], ServeSettings], *, as_json: bool) -> int:
    """Print the findings for the settings of `serve`. Returns the exit code: 1 if one failed."""
    found: list[Finding]
    try:
        chosen = settings()
    except SetupError as error:
        found = [fail("settings", str(error), "correct it; serve does not start with it, either")]
        return report(found, as_json=as_json)
    from colotrace_coordinator.diagnosis.doctor import findings

    return report(findings(chosen), as_json=as_json)
