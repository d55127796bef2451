"""The routes by which the fleet is administrated: agents, join tokens and colos.

They need the permission `admin`. The fleet is one for all accounts.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import ADMINISTRATE, Access
from colotrace_coordinator.api.audited import Auditor
from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.api.errors import InvalidBodyError, schema_fault
from colotrace_coordinator.api.request.administration import (
    AgentChange,
    ColoChange,
    EnrolmentBody,
    parse_body,
)
from colotrace_coordinator.api.request.body import read_json_bytes
from colotrace_coordinator.api.routing import Endpoint
from colotrace_coordinator.errors import NoAuthorityError, SetupError
from colotrace_coordinator.measurements.shapes import instant
from colotrace_coordinator.store.audit import Action
from colotrace_coordinator.store.listed import ListedAgent
from colotrace_coordinator.store.tables import Enrolment

MOST_LISTS = 2
"""Lists of all agents that are read at once; further requests wait."""


class Administration(Protocol):
    """Who does it: see `enrolment.administration`."""

    async def agents(self) -> Sequence[ListedAgent]:
        """All agents, by colo and id."""

    async def agent(self, name: str) -> ListedAgent:
        """The agent with this id of the list, or COLO/AGENT-ID."""

    async def drain(self, name: str, *, drained: bool) -> ListedAgent:
        """Give an agent no new jobs, or some again."""

    async def revoke(self, name: str) -> ListedAgent:
        """Refuse an agent from now on."""

    async def forget(self, name: str) -> ListedAgent:
        """Revoke an agent, and list it no more."""

    async def rename(self, name: str, new: str, *, city: str = "") -> ListedAgent:
        """Give an agent another id, or COLO/AGENT-ID."""

    async def enroll(
        self, *, colo: str, city: str, uses: int, lifetime_s: float, address: str = ""
    ) -> "FreshToken":
        """A join token."""

    async def tokens(self) -> Sequence[Enrolment]:
        """All join tokens, oldest first."""

    async def revoke_token(self, token_id: str) -> None:
        """Let nobody enrol with a join token any more."""

    async def rename_colo(self, old: str, new: str, *, city: str = "") -> int:
        """Give the enrolled agents of a colo to another name or city."""

    async def forget_colo(self, name: str) -> None:
        """Delete a colo."""


class FreshToken(Protocol):
    """A new join token."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def token(self) -> str:
        """Its text."""


class FleetAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, enrolled or not, attached or not. Times are those of RFC 3339; so is the beginning
    of `last_trouble`, up to a colon and a space. `state` is `enrolled`, `drained`, `expired`,
    `revoked` or `unenrolled`. `cpu_millis` are thousandths of a CPU core."""

    id: str
    colo: str
    agent_id: str
    city: str
    host: str
    state: str
    version: str
    families: list[str]
    attached_since: str | None
    last_seen_at: str | None
    enrolled_at: str | None
    certificate_ends_at: str | None
    revoked_at: str | None
    last_trouble: str | None
    cpu_millis: int | None
    memory_bytes: int | None


class JoinTokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """A join token, without its secret. Times are those of RFC 3339."""

    id: str
    colo: str
    city: str
    uses: int
    used: int
    created_at: str
    expires_at: str
    revoked_at: str | None


class NewJoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new join token. Its text is shown once; `command` is the line to paste on probe hosts."""

    id: str
    token: str
    command: str


class RenamedColo(msgspec.Struct, frozen=True, kw_only=True):
    """A colo that was renamed, and how many agents it has."""

    name: str
    agents: int


class FleetRoutes:
    """…/diagnostics/traceroute/fleet/…"""

    def __init__(self, administration: Administration, *, access: Access, audit: Auditor) -> None:
        self._do = administration
        self._access = access
        self._audit = audit
        self._lists = asyncio.Semaphore(MOST_LISTS)

    def table(self) -> dict[str, tuple[str, dict[str, Endpoint]]]:
        """The routes for `routing.account_routes`."""
        agent, colo = "/fleet/agents/{agent}", "/fleet/colos/{colo}"
        return {
            "fleet agents": ("/fleet/agents", {"GET": self.agents}),
            "fleet agent": (
                agent,
                {"GET": self.agent, "PATCH": self.change, "DELETE": self.forget},
            ),
            "fleet agent revoked": (agent + "/revoke", {"POST": self.revoke}),
            "join tokens": ("/fleet/join-tokens", {"GET": self.tokens, "POST": self.enroll}),
            "join token": ("/fleet/join-tokens/{token}", {"DELETE": self.revoke_token}),
            "fleet colo": (colo, {"PATCH": self.change_colo, "DELETE": self.forget_colo}),
        }

    async def agents(self, request: Request) -> Response:
        """All agents, by colo and id, whichever coordinator they are attached to."""
        await self._identify(request)
        async with self._lists:
            return answer([_agent(each) for each in await self._do.agents()])

    async def agent(self, request: Request) -> Response:
        """One agent."""
        await self._identify(request)
        return answer(_agent(await self._do.agent(_named(request))))

    async def change(self, request: Request) -> Response:
        """Drain an agent, give it jobs again, or rename it."""
        await self._identify(request)
        body = parse_body(await read_json_bytes(request), AgentChange)
        agent = await self._do.agent(_named(request))
        before = agent.name
        if (body.agent_id, body.colo, body.city) != (UNSET, UNSET, UNSET):
            colo = agent.colo if body.colo is UNSET else body.colo
            agent_id = agent.agent_id if body.agent_id is UNSET else body.agent_id
            city = "" if body.city is UNSET else body.city
            with _faults():
                agent = await self._do.rename(agent.id or before, f"{colo}/{agent_id}", city=city)
            self._record(request, Action.RENAME, [before], colo=agent.colo, to=agent.name)
        if body.drained is not UNSET:
            agent = await self._do.drain(agent.id or before, drained=body.drained)
            action = Action.DRAIN if body.drained else Action.UNDRAIN
            self._record(request, action, [agent.name], colo=agent.colo)
        return answer(_agent(agent))

    async def revoke(self, request: Request) -> Response:
        """Refuse an agent and its certificate from now on."""
        await self._identify(request)
        agent = await self._do.revoke(_named(request))
        self._record(request, Action.REVOKE, [agent.name], colo=agent.colo)
        return answer(_agent(agent))

    async def forget(self, request: Request) -> Response:
        """Revoke an agent, and list it no more."""
        await self._identify(request)
        agent = await self._do.forget(_named(request))
        self._record(request, Action.FORGET, [agent.name], colo=agent.colo)
        return answer({"id": agent.id or _id(agent)})

    async def enroll(self, request: Request) -> Response:
        """Make a join token, whose text is shown once."""
        await self._identify(request)
        body = parse_body(await read_json_bytes(request), EnrolmentBody)
        with _faults():
            made = await self._do.enroll(
                colo=body.colo,
                city=body.city,
                uses=body.uses,
                lifetime_s=body.expires_s,
                address=body.address,
            )
        self._record(request, Action.ENROLL, [made.id], colo=body.colo.lower(), uses=body.uses)
        command = f"colotrace-agent join {made.token}"
        return answer(NewJoinToken(id=made.id, token=made.token, command=command))

    async def tokens(self, request: Request) -> Response:
        """All join tokens, oldest first, without their secrets."""
        await self._identify(request)
        return answer([_token(each) for each in await self._do.tokens()])

    async def revoke_token(self, request: Request) -> Response:
        """Let nobody enrol with a join token any more."""
        await self._identify(request)
        token_id: str = request.path_params["token"]
        await self._do.revoke_token(token_id)
        self._record(request, Action.REVOKE_TOKEN, [token_id])
        return answer({"id": token_id})

    async def change_colo(self, request: Request) -> Response:
        """Rename a colo, or change its city."""
        await self._identify(request)
        body = parse_body(await read_json_bytes(request), ColoChange)
        old: str = request.path_params["colo"].lower()
        new = old if body.name is UNSET else body.name.lower()
        city = "" if body.city is UNSET else body.city
        with _faults():
            agents = await self._do.rename_colo(old, new, city=city)
        self._record(request, Action.RENAME_COLO, [old], colo=new, to=new, city=city)
        return answer(RenamedColo(name=new, agents=agents))

    async def forget_colo(self, request: Request) -> Response:
        """Delete a colo."""
        await self._identify(request)
        colo: str = request.path_params["colo"].lower()
        await self._do.forget_colo(colo)
        self._record(request, Action.FORGET_COLO, [colo], colo=colo)
        return answer({"name": colo})

    async def _identify(self, request: Request) -> None:
        await self._access.identify(request, any_of=ADMINISTRATE)

    def _record(
        self,
        request: Request,
        action: Action,
        subjects: Sequence[str],
        *,
        colo: str = "",
        **details: object,
    ) -> None:
        colos = [colo] if colo else []
        self._audit.record_act(request, action, subjects=subjects, colos=colos, details=details)


@contextmanager
def _faults() -> Iterator[None]:
    """A malformed name or city is a fault of the body."""
    try:
        yield
    except NoAuthorityError:
        raise
    except SetupError as error:
        raise InvalidBodyError([schema_fault(str(error), "")]) from error


def _named(request: Request) -> str:
    """The agent of the path. One that has not enrolled is COLO:AGENT-ID there."""
    name: str = request.path_params["agent"]
    return name.replace(":", "/", 1)


def _id(agent: ListedAgent) -> str:
    return agent.id or f"{agent.colo}:{agent.agent_id}"


def _agent(agent: ListedAgent) -> FleetAgent:
    trouble = None
    if agent.last_trouble is not None:
        trouble = f"{_time(agent.last_trouble_at)}: {agent.last_trouble}"
    return FleetAgent(
        id=_id(agent),
        colo=agent.colo,
        agent_id=agent.agent_id,
        city=agent.city,
        host=agent.host,
        state=agent.state,
        version=agent.version,
        families=[family.name.lower() for family in agent.families],
        attached_since=_time(agent.attached_since),
        last_seen_at=_time(agent.last_seen_at),
        enrolled_at=_time(agent.enrolled_at),
        certificate_ends_at=_time(agent.certificate_ends_at),
        revoked_at=_time(agent.revoked_at),
        last_trouble=trouble,
        cpu_millis=agent.cpu_millis,
        memory_bytes=agent.memory_bytes,
    )


def _token(token: Enrolment) -> JoinTokenLine:
    return JoinTokenLine(
        id=token.id,
        colo=token.colo,
        city=token.city,
        uses=token.uses,
        used=token.used,
        created_at=instant(token.created_at * 1_000),
        expires_at=instant(token.expires_at * 1_000),
        revoked_at=_time(token.revoked_at),
    )


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else instant(seconds * 1_000)
