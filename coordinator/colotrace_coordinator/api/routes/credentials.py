"""The routes about the request's own credential: whether its token works, and its accounts."""

import math

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.api.access.access import Access
from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.api.request.listing import Parameters, numbered_page, word_of
from colotrace_coordinator.measurements.shapes import instant
from colotrace_coordinator.model import Message
from colotrace_coordinator.store.credentials import Credential, Lapse

_WORKS = Message(10000, "This API Token is valid and active")
"""Code and text of the public API; scripts look for them."""
_STATUS = {Lapse.EXPIRED: "expired", Lapse.REVOKED: "disabled"}
_MAX_NAME = 100


class TokenLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token; `status` is `active`, `expired` or `disabled` (revoked). `expires_on` is a time of
    RFC 3339, absent if the token does not expire."""

    id: str
    status: str
    expires_on: str = ""


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    """An account, and what the credential may do in it. The name is the id."""

    id: str
    name: str
    type: str
    permissions: list[str]


class AccountsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of the accounts it is."""

    page: int
    per_page: int
    count: int
    total_count: int
    total_pages: int


class Tokens:
    """GET /user/tokens/verify."""

    def __init__(self, *, access: Access) -> None:
        self._access = access

    async def verify(self, request: Request) -> Response:
        """Whether the request's token works."""
        token = await self._access.token(request)
        expires_on = instant(token.expires_at * 1_000) if token.expires_at is not None else ""
        if isinstance(token, Credential):
            active = TokenLine(id=token.id, status="active", expires_on=expires_on)
            return answer(active, [_WORKS])
        return answer(TokenLine(id=token.id, status=_STATUS[token.why], expires_on=expires_on))


class Accounts:
    """GET /accounts."""

    def __init__(self, *, access: Access) -> None:
        self._access = access

    async def list(self, request: Request) -> Response:
        """The accounts of the request's credential, by id."""
        credential = await self._access.credential(request)
        read = Parameters(request.query_params)
        name = read.text("name", most=_MAX_NAME)
        backwards = read.one("direction", word_of("asc", "desc"), "must be asc or desc") == "desc"
        page, per_page = numbered_page(read)
        read.check()
        found = [
            AccountLine(id=account, name=account, type="standard", permissions=sorted(permissions))
            for account, permissions in sorted(credential.grants.items(), reverse=backwards)
            if name in ("", account)
        ]
        shown = found[(page - 1) * per_page : page * per_page]
        info = AccountsInfo(
            page=page,
            per_page=per_page,
            count=len(shown),
            total_count=len(found),
            total_pages=math.ceil(len(found) / per_page),
        )
        return answer(shown, info=info)
