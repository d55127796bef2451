"""The route that lists the agents."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import READ, Access
from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.api.routes.colos import Degrees
from colotrace_coordinator.measurements.shapes import instant
from colotrace_coordinator.model import AgentStatus, Tracer, Trouble


class AgentLine(msgspec.Struct, frozen=True, kw_only=True):
    """An attached agent. `attached_since` is a time of RFC 3339; so is the beginning of
    `last_trouble`, up to a colon and a space. What its process uses is null until it has told it:
    thousandths of a CPU core, and bytes of memory."""

    id: str
    colo: str
    version: str
    families: list[str]
    packet_types: list[str]
    tags: dict[str, str]
    attached_since: str
    last_trouble: str | None
    location: Degrees | None
    host: str
    cpu_millis: int | None
    memory_bytes: int | None


class Agents:
    """GET …/diagnostics/traceroute/agents."""

    def __init__(self, tracer: Tracer, *, access: Access) -> None:
        self._tracer = tracer
        self._access = access

    async def get(self, request: Request) -> Response:
        """Every agent that is attached to this coordinator, by colo and id."""
        await self._access.identify(request, any_of=READ)
        return answer([_line(status) async for status in self._tracer.agents()])


def _line(status: AgentStatus) -> AgentLine:
    return AgentLine(
        id=status.id,
        colo=status.colo,
        version=status.version,
        families=[family.name.lower() for family in sorted(status.families)],
        packet_types=sorted(status.packet_types),
        tags=dict(sorted(status.tags)),
        attached_since=_time(status.attached_since),
        last_trouble=_sentence(status.last_trouble),
        location=None if status.location is None else list(status.location),
        host=status.host,
        cpu_millis=status.usage.cpu_millis if status.usage else None,
        memory_bytes=status.usage.memory_bytes if status.usage else None,
    )


def _sentence(trouble: Trouble | None) -> str | None:
    return None if trouble is None else f"{_time(trouble.at)}: {trouble.words}"


def _time(seconds: float) -> str:
    return instant(round(seconds * 1_000))
