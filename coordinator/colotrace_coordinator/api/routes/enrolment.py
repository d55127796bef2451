"""Routes of enrolment: the CA's certificate, joining, and renewing.

They have a listener of their own, by TLS without client certificates. Anybody who reaches it may
ask, so requests are limited for each address, and all together.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog
from colotrace_proto.enrolment import (
    AUTHORITY_PATH,
    JOIN_PATH,
    RENEW_PATH,
    Certified,
    EnrolmentMessageError,
    JoinRequest,
    RenewRequest,
    decode,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.api.errors import EnrolmentMalformedError, EnrolmentsLimitedError
from colotrace_coordinator.api.http import clients
from colotrace_coordinator.api.request.body import read_json_bytes
from colotrace_coordinator.errors import EnrolmentRefusedError
from colotrace_coordinator.shares import TokenBuckets

RATE, BURST = 5.0, 100.0
"""Requests a second of one address. Many probe hosts may be behind one."""
RATE_OF_ALL, BURST_OF_ALL = 50.0, 500.0
_ALL = ""
M = TypeVar("M", JoinRequest, RenewRequest)

log = structlog.get_logger(__name__)


class Registrar(Protocol):
    """Who certifies agents: see `enrolment.registrar`."""

    @property
    def authority(self) -> bytes:
        """The CA's certificate, PEM."""

    async def join(self, request: JoinRequest) -> Certified:
        """Enrol an agent."""

    async def renew(self, request: RenewRequest) -> Certified:
        """Replace an agent's certificate."""


class Enrolment:
    """The endpoints."""

    def __init__(
        self, registrar: Registrar, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registrar = registrar
        self._clock = clock
        self._addresses: TokenBuckets[str] = TokenBuckets(rate=RATE, burst=BURST)
        self._all: TokenBuckets[str] = TokenBuckets(rate=RATE_OF_ALL, burst=BURST_OF_ALL)

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route(AUTHORITY_PATH, self._authority, name="ca"),
            Route(JOIN_PATH, self._join, name="join", methods=["POST"]),
            Route(RENEW_PATH, self._renew, name="renew", methods=["POST"]),
        ]

    async def _authority(self, request: Request) -> Response:
        self._spend(request)
        return Response(self._registrar.authority, media_type="application/x-pem-file")

    async def _join(self, request: Request) -> Response:
        return await self._certify(request, JoinRequest, self._registrar.join, event="joined")

    async def _renew(self, request: Request) -> Response:
        return await self._certify(request, RenewRequest, self._registrar.renew, event="renewed")

    async def _certify(
        self,
        request: Request,
        kind: type[M],
        certify: Callable[[M], Awaitable[Certified]],
        *,
        event: str,
    ) -> Response:
        self._spend(request)
        try:
            asked = decode(await read_json_bytes(request), kind)
        except EnrolmentMessageError as error:
            raise EnrolmentMalformedError(str(error)) from error
        try:
            certified = await certify(asked)
        except EnrolmentRefusedError as error:
            log.warning("agent_not_certified", client=_client(request), detail=str(error))
            raise
        named = {"agent": certified.agent_id, "colo": certified.colo}
        log.info(f"agent_{event}", client=_client(request), **named)
        return answer(certified)

    def _spend(self, request: Request) -> None:
        now = self._clock()
        if not self._addresses.spend(clients.key(_client(request)), 1, now):
            raise EnrolmentsLimitedError
        if not self._all.spend(_ALL, 1, now):
            raise EnrolmentsLimitedError


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
