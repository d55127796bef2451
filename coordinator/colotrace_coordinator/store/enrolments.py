"""Join tokens, and the agents that enrol with them."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from colotrace_proto.join_tokens import SECRET_BYTES
from colotrace_proto.messages import AgentId, ColoName
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from colotrace_coordinator.authority.identity import AgentIdentity, IdentityId
from colotrace_coordinator.errors import EnrolmentRefusedError, TooManyTokensError, UnknownIdError

from .database import Database
from .inserting import insert_into
from .now import now_ms
from .secrets import new_id
from .tables import EnrolledAgent, Enrolment

MAX_USES = 10_000
MAX_LIFETIME_S = 366 * 86_400
MAX_VALID = 1_000
"""Join tokens that can be used at one time."""
KEPT_AFTER_END_S = 60 * 86_400
"""A join token is listed for so long after it has expired."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new join token."""

    id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """An agent that has enrolled, and its city."""

    identity: AgentIdentity
    city: str


class Enrolments:
    """The join tokens in the database."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def issue(self, colo: ColoName, *, city: str, uses: int, lifetime_s: float) -> Issued:
        """A new join token for `uses` agents of a colo. Those that ended long ago are deleted.

        Raises:
            TooManyTokensError: as many are valid as may be.
        """
        issued, now = Issued(new_id(), secrets.token_bytes(SECRET_BYTES)), self._clock()
        async with self._database.session() as session:
            await session.execute(
                delete(Enrolment)
                .where(Enrolment.expires_at < int(now) - KEPT_AFTER_END_S)
                .execution_options(synchronize_session=False)
            )
            valid = await session.scalar(
                select(func.count())
                .select_from(Enrolment)
                .where(
                    Enrolment.expires_at > int(now),
                    Enrolment.revoked_at.is_(None),
                    Enrolment.used < Enrolment.uses,
                )
            )
            if (valid or 0) >= MAX_VALID:
                raise TooManyTokensError(
                    f"{MAX_VALID:,} join tokens are valid; use or revoke some of them first"
                )
            session.add(
                Enrolment(
                    id=issued.id,
                    sha256=_digest(issued.secret),
                    colo=colo,
                    city=city,
                    uses=uses,
                    used=0,
                    created_at=int(now),
                    expires_at=int(now + lifetime_s),
                    revoked_at=None,
                )
            )
        return issued

    async def all(self) -> list[Enrolment]:
        """All join tokens, oldest first."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(Enrolment).order_by(Enrolment.created_at, Enrolment.id)
            )
            return list(rows)

    async def left(self, *, most: int = 100) -> list[Enrolment]:
        """The join tokens for several agents with which some can still enrol; at most so many,
        those that expire first."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(Enrolment)
                .where(
                    Enrolment.uses > 1,
                    Enrolment.used < Enrolment.uses,
                    Enrolment.expires_at > int(self._clock()),
                    Enrolment.revoked_at.is_(None),
                )
                .order_by(Enrolment.expires_at, Enrolment.id)
                .limit(most)
            )
            return list(rows)

    async def revoke(self, enrolment_id: str) -> None:
        """Let nobody enrol with this token any more.

        Raises:
            UnknownIdError: there is no such token.
        """
        async with self._database.session() as session:
            found = await session.get(Enrolment, enrolment_id)
            if found is None:
                raise UnknownIdError(f"no join token has the id {enrolment_id}: see agent tokens")
            if found.revoked_at is None:
                found.revoked_at = int(self._clock())

    async def join(
        self, secret: bytes, *, agent_id: AgentId, key_sha256: str, lifetime_s: float
    ) -> Joined:
        """Enrol an agent, with a certificate of this lifetime for the key with this hash. An agent
        that asks again with the same key, since it has not got the answer, is the same one.

        Raises:
            EnrolmentRefusedError: the token is unknown, used up, expired or revoked, or another
                agent of the colo has this id.
        """
        now = self._clock()
        async with self._database.session() as session:
            token = await session.scalar(
                select(Enrolment).where(Enrolment.sha256 == _digest(secret))
            )
            if token is None:
                raise EnrolmentRefusedError(
                    "the coordinator does not know this join token; make a new one with "
                    "colotrace-coordinator agent enroll"
                )
            if token.revoked_at is not None:  # also for an agent that asks again
                raise _refused("was revoked")
            colo = ColoName(token.colo)
            certified = {
                "certificate_ends_at": int(now + lifetime_s),
                "certified_name": f"{colo}/{agent_id}",
                "changed_ms": now_ms(self._database.dialect),
            }
            # The agent did not get the answer before, if it asks for the same key.
            known = await session.scalar(
                update(EnrolledAgent)
                .where(
                    EnrolledAgent.colo == colo,
                    EnrolledAgent.agent_id == agent_id,
                    EnrolledAgent.key_sha256 == key_sha256,
                    EnrolledAgent.revoked_at.is_(None),
                )
                .values(**certified)
                .returning(EnrolledAgent.id)
                .execution_options(synchronize_session=False)
            )
            if known is not None:
                return Joined(AgentIdentity(IdentityId(known), colo, agent_id), token.city)
            await _spend(session, token, now)
            identity = IdentityId(secrets.token_hex(8))
            added = await session.scalar(
                insert_into(EnrolledAgent, dialect=self._database.dialect)
                .values(
                    id=identity,
                    colo=colo,
                    agent_id=agent_id,
                    city=token.city,
                    key_sha256=key_sha256,
                    enrolled_at=int(now),
                    drained=False,
                    forgotten=False,
                    **certified,
                )
                .on_conflict_do_nothing()
                .returning(EnrolledAgent.id)
            )
            if added is None:
                raise EnrolmentRefusedError(
                    f"{colo} already has an agent {agent_id}; if it is this host, run "
                    f"colotrace-coordinator agent forget {colo}/{agent_id} first, "
                    "otherwise join with another --agent-id"
                )
        return Joined(AgentIdentity(identity, colo, agent_id), token.city)


async def _spend(session: AsyncSession, token: Enrolment, now: float) -> None:
    """Count one use, in the same moment in which it is checked that one is left."""
    spent = await session.scalar(
        update(Enrolment)
        .where(
            Enrolment.id == token.id,
            Enrolment.used < Enrolment.uses,
            Enrolment.expires_at > int(now),
            Enrolment.revoked_at.is_(None),
        )
        .values(used=Enrolment.used + 1)
        .returning(Enrolment.id)
        .execution_options(synchronize_session=False)
    )
    if spent is not None:
        return
    why = (
        "was revoked"
        if token.revoked_at is not None
        else "has expired"
        if token.expires_at <= now
        else f"has enrolled {'its agent' if token.uses == 1 else f'its {token.uses} agents'}"
    )
    raise _refused(why)


def _refused(why: str) -> EnrolmentRefusedError:
    return EnrolmentRefusedError(
        f"this join token {why}; make a new one with colotrace-coordinator agent enroll"
    )


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
