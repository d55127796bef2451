"""The checks that every route of an account begins with, in the contract's order."""

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.requests import Request

from colotrace_coordinator.api.context import context_of
from colotrace_coordinator.api.errors import ForbiddenError, LapsedTokenError, NoTokenError
from colotrace_coordinator.store.credentials import Credential, Lapsed, Permission

from .authenticator import Authenticator

WRITE = frozenset({Permission.ADMIN, Permission.WRITE, Permission.TRACEROUTE})
"""Permissions that allow to measure, cancel and remove. Any of them suffices."""
READ = WRITE | {Permission.READ}
"""Permissions that allow to read measurements, colos and agents."""
ADMINISTRATE = frozenset({Permission.ADMIN})
"""Permissions that allow to administrate the fleet."""
LIST_COLOS = READ | {Permission.COLOS}
"""Permissions that allow to list the colos."""


class Access:
    """Credentials first, then the account and the permission."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def identify(self, request: Request, *, any_of: Collection[Permission]) -> str:
        """The account's id, for which the request's credential has one of the permissions.

        Raises:
            ApiError: as `Authenticator.authenticate` and `authorize` say.
        """
        account_id: str = request.path_params["account_id"]
        credential = await self.credential(request)
        context_of(request.scope).account_id = account_id
        authorize(credential, account_id, any_of=any_of)
        return account_id

    async def credential(self, request: Request) -> Credential:
        """The request's credential, whatever it may do.

        Raises:
            ApiError: as `Authenticator.authenticate` says.
        """
        return await self._authenticate(request, request.headers)

    async def token(self, request: Request) -> Credential | Lapsed:
        """The request's token, valid or not any more. One that is not counts as a failure. E-mail
        and key are ignored.

        Raises:
            NoTokenError: there is no token.
            ApiError: as `Authenticator.authenticate` says.
        """
        header = request.headers.get("authorization")
        if header is None:
            raise NoTokenError
        try:
            return await self._authenticate(request, Headers({"authorization": header}))
        except LapsedTokenError as error:
            context_of(request.scope).quota = error.quota
            return error.token

    async def _authenticate(self, request: Request, headers: Headers) -> Credential:
        context = context_of(request.scope)
        address = request.client.host if request.client else ""
        credential, context.quota = await self._authenticator.authenticate(headers, address)
        context.credential_id = credential.id
        return credential


def authorize(credential: Credential, account_id: str, *, any_of: Collection[Permission]) -> None:
    """Check that the credential has one of the permissions in the account.

    Raises:
        ForbiddenError: it has none of them, or the account does not exist.
    """
    granted: frozenset[Permission] = frozenset()
    for account, permissions in credential.grants.items():
        if hmac.compare_digest(account.encode(), account_id.encode()):
            granted = permissions
    if granted.isdisjoint(any_of):
        raise ForbiddenError
