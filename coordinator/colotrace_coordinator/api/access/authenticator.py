"""Authentication: from the request's headers to a credential."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from starlette.datastructures import Headers

from colotrace_coordinator.api.errors import (
    LapsedTokenError,
    MalformedCredentialsError,
    NoCredentialsError,
    UnknownCredentialsError,
)
from colotrace_coordinator.api.quota import Quota
from colotrace_coordinator.lines import Cause
from colotrace_coordinator.store.credentials import Credential, Lapsed, is_email, is_key
from colotrace_coordinator.store.secrets import MAX_SECRET, sha256, short_digest

from .known import KnownSecrets
from .limiter import Limiter

REMEMBERED_S = 5.0
"""How long a revoked credential may still be accepted."""
REMEMBERED = 10_000
MAX_LOOKUPS = 16
"""Concurrent look-ups. Beyond this number, only secrets whose digest is known are looked up."""

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")  # RFC 6750, section 2.1
_AUTHORIZATION = Cause(6111, "Invalid format for Authorization header")
_EMAIL = Cause(6102, "Invalid format for X-Auth-Email header")
_KEY = Cause(6103, "Invalid format for X-Auth-Key header")


_Found = Credential | Lapsed | None
_LookUp = Callable[[], Coroutine[object, object, _Found]]


class CredentialSource(Protocol):
    """Where credentials are looked up."""

    async def find_token(self, token: str) -> Credential | Lapsed | None:
        """The token's credential, or why it is no longer valid; None if it is unknown."""

    async def find_key(self, email: str, key: str) -> Credential | None:
        """The pair's credential; None if the pair is not valid."""

    async def digests(self) -> frozenset[bytes]:
        """`short_digest` of every token and key that may be valid."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The credentials in the headers. A part is None if it is absent or malformed; `faults` has an
    entry for each malformed part."""

    token: str | None
    pair: tuple[str, str] | None
    faults: tuple[Cause, ...]


def read(headers: Headers) -> Claims:
    """Parse the headers.

    Raises:
        NoCredentialsError: there are no headers with credentials.
    """
    authorization = headers.get("authorization")
    email, key = headers.get("x-auth-email"), headers.get("x-auth-key")
    if authorization is None and (email is None or key is None):
        raise NoCredentialsError
    faults = []
    token = pair = None
    if authorization is not None:
        bearer = _BEARER.fullmatch(authorization.strip())
        if bearer and len(bearer[1]) <= MAX_SECRET:
            token = bearer[1]
        else:
            faults.append(_AUTHORIZATION)
    if email is not None and key is not None:
        if is_email(email) and is_key(key):
            pair = email, key
        else:
            faults += [] if is_email(email) else [_EMAIL]
            faults += [] if is_key(key) else [_KEY]
    return Claims(token, pair, tuple(faults))


class Authenticator:
    """Finds credentials, and caches the valid ones for a few seconds.

    A secret is looked up while its address has failures left and few look-ups run. Otherwise it is
    looked up only if its digest is known (`KnownSecrets`).
    """

    def __init__(
        self,
        source: CredentialSource,
        limiter: Limiter,
        *,
        remembered_s: float = REMEMBERED_S,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._limiter = limiter
        self._remembered_s = remembered_s
        self._monotonic = monotonic
        self._clock = clock
        self._memory: OrderedDict[str, tuple[float, Credential]] = OrderedDict()
        self._known = KnownSecrets(source.digests, monotonic=monotonic)
        self._lookups: dict[str, asyncio.Task[_Found]] = {}

    async def authenticate(self, headers: Headers, address: str) -> tuple[Credential, Quota]:
        """The request's credential, and its quota after this request.

        If there are a token and a pair of e-mail and key, one valid credential is enough.

        Raises:
            NoCredentialsError: there are no credentials.
            MalformedCredentialsError: all credentials are malformed.
            UnknownCredentialsError: no credential is valid.
            LapsedTokenError: no credential is valid, but the token was.
            RateLimitedError: the credential has no request left; or authentication failed and the
                address has no failure left. A valid credential is accepted from such an address,
                since other clients there may be the ones who guess.
            StoreUnavailableError: the database does not answer.
        """
        try:
            credential = await self._find(read(headers), address)
        except (
            MalformedCredentialsError,
            UnknownCredentialsError,
            LapsedTokenError,
        ) as error:
            error.quota = self._limiter.failure(address)
            raise
        return credential, self._limiter.request(credential.id)

    async def _find(self, claims: Claims, address: str) -> Credential:
        # Each credential as one text, with its secret part and its look-up.
        given: list[tuple[str, str, _LookUp]] = []
        if token := claims.token:
            given.append((token, token, partial(self._source.find_token, token)))
        if pair := claims.pair:
            given.append(("\n".join(pair), pair[1], partial(self._source.find_key, *pair)))
        if not given:
            raise MalformedCredentialsError(claims.faults)
        for whole, _, _ in given:
            if known := self._remembered(whole):
                return known
        lapsed = None
        for whole, secret, look in given:
            found = await self._look_up(whole, address, known_by=secret, look=look)
            if isinstance(found, Credential):
                return found
            lapsed = lapsed or found
        raise UnknownCredentialsError if lapsed is None else LapsedTokenError(lapsed)

    async def _look_up(
        self,
        secret: str,
        address: str,
        *,
        known_by: str,
        look: _LookUp,
    ) -> _Found:
        """What was found; None too if it was not looked up (see the class)."""
        digest = sha256(secret)
        looking = self._lookups.get(digest)
        if looking is None:
            worth = len(self._lookups) < MAX_LOOKUPS and self._limiter.may_fail(address, digest)
            if not worth and not await self._known.has(short_digest(known_by)):
                return None
            looking = self._lookups.get(digest)
        if looking is None:
            looking = asyncio.create_task(self._run(digest, look), name="credential")
            self._lookups[digest] = looking
        # Clients share the look-up; one that disconnects does not cancel it (`store.behind`).
        return await asyncio.shield(looking)

    async def _run(self, digest: str, look: _LookUp) -> _Found:
        try:
            found = await look()
        finally:
            del self._lookups[digest]
        if not isinstance(found, Credential):
            self._limiter.wrong(digest)
            return found
        self._memory[digest] = (self._monotonic() + self._remembered_s, found)
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        return found

    def _remembered(self, secret: str) -> Credential | None:
        digest = sha256(secret)
        until, credential = self._memory.get(digest, (0.0, None))
        if credential is None:
            return None
        expired = credential.expires_at is not None and credential.expires_at <= self._clock()
        if until <= self._monotonic() or expired:
            del self._memory[digest]
            return None
        return credential
