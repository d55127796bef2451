"""Gives enrolled agents and colos other names.

An agent is known by the id in its certificate, so its name can change without a new certificate.
What was measured keeps the names that it was recorded with.
"""

from sqlalchemy import and_, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from colotrace_coordinator.authority.identity import EnrolledName
from colotrace_coordinator.errors import NameTakenError, UnknownIdError

from .database import Database
from .now import now_ms
from .seen import row_of
from .tables import EnrolledAgent, Enrolment, KnownColo, SeenAgent


class Renaming:
    """Changes names in the database. Running coordinators see it within a second."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def agent(
        self, identity: str, *, colo: str, agent_id: str, city: str = ""
    ) -> EnrolledName:
        """Rename an agent that is not revoked. Without a city it gets that of the colo's other
        agents, or keeps its own.

        Raises:
            NameTakenError: another agent has the name.
            StoreUnavailableError: the database does not answer; then nothing has changed.
            UnknownIdError: there is no such agent, or it is revoked.
        """
        async with self._database.session() as session:
            agent = await session.get(EnrolledAgent, identity)
            if agent is None or agent.revoked_at is not None:
                raise UnknownIdError("the agent was revoked, and is renamed no more")
            if agent.colo != colo and not city:
                city = await _city_of(session, colo)
            taken = await session.scalar(
                select(EnrolledAgent.id).where(
                    EnrolledAgent.colo == colo,
                    EnrolledAgent.agent_id == agent_id,
                    EnrolledAgent.revoked_at.is_(None),
                    EnrolledAgent.id != identity,
                )
            )
            if taken is not None:
                raise NameTakenError(f"{colo} already has an agent {agent_id}")
            await _move_seen(session, (agent.colo, agent.agent_id), (colo, agent_id))
            await self._set(session, [identity], colo=colo, agent_id=agent_id, city=city)
            return EnrolledName(colo, agent_id, city or agent.city)  # type: ignore[arg-type]

    async def colo(self, old: str, new: str, *, city: str = "") -> int:
        """Give all enrolled agents of a colo to another name, with the join tokens that are for it;
        returns how many agents. With the same name, only the city changes.

        Raises:
            NameTakenError: an agent of the other colo has the id of one of this one.
            StoreUnavailableError: the database does not answer; then nothing has changed.
            UnknownIdError: the colo has no enrolled agent.
        """
        async with self._database.session() as session:
            agents = list(
                await session.scalars(
                    select(EnrolledAgent)
                    .where(EnrolledAgent.colo == old, EnrolledAgent.revoked_at.is_(None))
                    .order_by(EnrolledAgent.agent_id)
                )
            )
            if not agents:
                raise UnknownIdError(
                    f"{old} has no enrolled agent. Agents that did not enrol name their colo "
                    "themselves, by --colo"
                )
            if old != new:
                city = city or await _city_of(session, new)
                await self._refuse_taken(session, old, new)
                await _move_all_seen(session, old, new)
            await self._set(session, [agent.id for agent in agents], colo=new, city=city)
            told = {"colo": new} | ({"city": city} if city else {})
            await session.execute(
                update(Enrolment)
                .where(Enrolment.colo == old, Enrolment.revoked_at.is_(None))
                .values(**told)
                .execution_options(synchronize_session=False)
            )
            await _move_colo(session, old, new, city)
            return len(agents)

    async def _refuse_taken(self, session: AsyncSession, old: str, new: str) -> None:
        other = aliased(EnrolledAgent)
        taken = await session.scalar(
            select(EnrolledAgent.agent_id)
            .join(other, and_(other.agent_id == EnrolledAgent.agent_id, other.colo == new))
            .where(
                EnrolledAgent.colo == old,
                EnrolledAgent.revoked_at.is_(None),
                other.revoked_at.is_(None),
            )
            .order_by(EnrolledAgent.agent_id)
            .limit(1)
        )
        if taken is not None:
            raise NameTakenError(
                f"{new} already has an agent {taken}, as {old} does; rename one of them first"
            )

    async def _set(self, session: AsyncSession, identities: list[str], **values: str) -> None:
        changed = {name: value for name, value in values.items() if value}
        try:
            await session.execute(
                update(EnrolledAgent)
                .where(EnrolledAgent.id.in_(identities))
                .values(**changed, changed_ms=now_ms(self._database.dialect))
                .execution_options(synchronize_session=False)
            )
        except IntegrityError as error:  # it has enrolled in this moment
            raise NameTakenError("another agent has just got this name") from error


async def _city_of(session: AsyncSession, colo: str) -> str:
    """The city of the colo's agents; "" if it has none."""
    found: str | None = await session.scalar(
        select(EnrolledAgent.city)
        .where(EnrolledAgent.colo == colo, EnrolledAgent.revoked_at.is_(None))
        .order_by(EnrolledAgent.enrolled_at.desc())
        .limit(1)
    )
    return found or ""


async def _move_seen(session: AsyncSession, old: tuple[str, str], new: tuple[str, str]) -> None:
    """What the agent has told stays visible under its new name."""
    if old == new:
        return
    await session.execute(
        delete(SeenAgent).where(row_of(*new)).execution_options(synchronize_session=False)
    )
    await session.execute(
        update(SeenAgent)
        .where(row_of(*old))
        .values(colo=new[0], agent_id=new[1])
        .execution_options(synchronize_session=False)
    )


async def _move_all_seen(session: AsyncSession, old: str, new: str) -> None:
    same = select(SeenAgent.agent_id).where(SeenAgent.colo == old, SeenAgent.enrolled.is_(True))
    await session.execute(
        delete(SeenAgent)
        .where(SeenAgent.colo == new, SeenAgent.agent_id.in_(same))
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        update(SeenAgent)
        .where(SeenAgent.colo == old, SeenAgent.enrolled.is_(True))
        .values(colo=new)
        .execution_options(synchronize_session=False)
    )


async def _move_colo(session: AsyncSession, old: str, new: str, city: str) -> None:
    """The former name is known no more; coordinators forget it within a minute."""
    former = await session.get(KnownColo, old)
    if former is None:
        return
    if city:
        former.city = city
    if old == new:
        return
    if await session.get(KnownColo, new) is not None:
        await session.delete(former)
    else:
        await session.execute(
            update(KnownColo)
            .where(KnownColo.name == old)
            .values(name=new)
            .execution_options(synchronize_session=False)
        )
