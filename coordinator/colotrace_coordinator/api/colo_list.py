"""The route that lists colos."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.model import ColoStatus, Tracer
from colotrace_coordinator.store.credentials import Permission

from .auth import Authenticator
from .envelope import answer
from .traceroute import identify


class ColoLine(msgspec.Struct, frozen=True, kw_only=True):
    """A colo as operators see it; `state` is `up`, `draining` or `down`."""

    name: str
    city: str
    agents: int
    families: list[str]
    packet_types: list[str]
    state: str


class ColoList:
    """GET …/diagnostics/traceroute/colos."""

    def __init__(self, tracer: Tracer, *, who: Authenticator) -> None:
        self._tracer = tracer
        self._who = who

    async def __call__(self, account_id: str, request: Request) -> Response:
        """Every known colo, by name."""
        permissions = [Permission.COLOS, Permission.TRACEROUTE]
        await identify(request, account_id, who=self._who, any_of=permissions)
        return answer([_line(status) for status in self._tracer.colos()])


def _line(status: ColoStatus) -> ColoLine:
    return ColoLine(
        name=status.name,
        city=status.city,
        agents=status.agents,
        families=[family.name.lower() for family in sorted(status.families)],
        packet_types=sorted(status.packet_types),
        state=status.state,
    )
