"""The route that lists the colos."""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import LIST_COLOS, Access
from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.model import ColoStatus, Tracer

Degrees = Annotated[
    list[Annotated[float, msgspec.Meta(ge=-180, le=180)]],
    msgspec.Meta(min_length=2, max_length=2, description="Latitude and longitude, in degrees."),
]


class ColoLine(msgspec.Struct, frozen=True, kw_only=True):
    """A colo in the list; `state` is `up`, `draining` or `down`."""

    name: str
    city: str
    agents: int
    families: list[str]
    packet_types: list[str]
    state: str
    location: Degrees | None


class Colos:
    """GET …/diagnostics/traceroute/colos."""

    def __init__(self, tracer: Tracer, *, access: Access) -> None:
        self._tracer = tracer
        self._access = access

    async def get(self, request: Request) -> Response:
        """Every known colo, by name."""
        await self._access.identify(request, any_of=LIST_COLOS)
        return answer([_line(status) for status in self._tracer.colos()])


def _line(status: ColoStatus) -> ColoLine:
    return ColoLine(
        name=status.name,
        city=status.city,
        agents=status.agents,
        families=[family.name.lower() for family in sorted(status.families)],
        packet_types=sorted(status.packet_types),
        state=status.state,
        location=None if status.location is None else list(status.location),
    )
