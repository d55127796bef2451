"""What agents tell, in the database: written by coordinators, and listed by all."""

import pytest
from colotrace_coordinator.errors import NameTakenError, UnknownIdError
from colotrace_coordinator.fleet.facts import AgentFacts
from colotrace_coordinator.model import Trouble
from colotrace_coordinator.store import seen as seen_module
from colotrace_coordinator.store.colos import ColoStore, KeptColo
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments
from colotrace_coordinator.store.listed import ListedAgent, ListedAgents
from colotrace_coordinator.store.renaming import Renaming
from colotrace_coordinator.store.seen import KEPT_S, STALE_S, SeenAgents
from colotrace_proto.messages import AgentId, ColoName, Family
from manual_clock import ManualClock

DEN, SIN = ColoName("den01"), ColoName("sin01")
LIFETIME_S = 1_000.0
TROUBLE = Trouble(1_800_000_000.0, "its stream ended: the connection broke")


class Bed:
    """Two coordinators on one database."""

    def __init__(self, database: Database, clock: ManualClock, *, enrolled: bool = True) -> None:
        self.database, self.clock = database, clock
        self.one, self.other = (
            SeenAgents(database, coordinator=name, enrolled=enrolled, clock=clock)
            for name in ("one", "other")
        )
        self.enrolments = Enrolments(database, clock=clock)
        self.agents = EnrolledAgents(database, clock=clock)
        self.renaming = Renaming(database)
        self.colos = ColoStore(database, clock=clock)
        self.list = ListedAgents(database, clock=clock)

    async def enrol(self, agent_id: str = "a1", colo: ColoName = DEN, city: str = "Denver") -> str:
        secret = (await self.enrolments.issue(colo, city=city, uses=1, lifetime_s=60)).secret
        joined = await self.enrolments.join(
            secret, agent_id=AgentId(agent_id), key_sha256=agent_id, lifetime_s=LIFETIME_S
        )
        return joined.identity.id

    def facts(
        self, agent_id: str = "a1", colo: ColoName = DEN, cpu_millis: int | None = None
    ) -> AgentFacts:
        return AgentFacts(
            colo=colo,
            agent_id=AgentId(agent_id),
            host="host1",
            version="0.3.0",
            families=frozenset({Family.IPV4, Family.IPV6}),
            attached_since=self.clock.now,
            cpu_millis=cpu_millis,
            memory_bytes=None if cpu_millis is None else 80_000_000,
        )

    async def only(self) -> ListedAgent:
        [listed] = await self.list.all()
        return listed


@pytest.fixture
def bed(database: Database, clock: ManualClock) -> Bed:
    return Bed(database, clock)


async def test_agent_that_never_attached_has_no_facts(bed: Bed) -> None:
    identity = await bed.enrol()
    listed = await bed.only()
    assert (listed.id, listed.name, listed.state) == (identity, "den01/a1", "enrolled")
    assert (listed.attached_since, listed.last_seen_at, listed.families) == (None, None, ())
    assert listed.certificate_ends_at == bed.clock.now + LIFETIME_S


async def test_attached_agent_is_listed_with_what_it_tells(bed: Bed) -> None:
    await bed.enrol()
    await bed.one.attached([(bed.facts(cpu_millis=250), TROUBLE)], news=True)
    listed = await bed.only()
    assert (listed.host, listed.version, listed.families) == ("host1", "0.3.0", [4, 6])
    assert (listed.attached_since, listed.last_seen_at) == (bed.clock.now, bed.clock.now)
    assert (listed.cpu_millis, listed.memory_bytes) == (250, 80_000_000)
    assert (listed.last_trouble, listed.last_trouble_at) == (TROUBLE.words, TROUBLE.at)


async def test_trouble_before_a_restart_stays_known(bed: Bed) -> None:
    await bed.enrol()
    await bed.one.attached([(bed.facts(), TROUBLE)], news=True)
    await bed.other.attached([(bed.facts(), None)], news=True)
    assert (await bed.only()).last_trouble == TROUBLE.words


async def test_agent_that_left_was_last_seen_then(bed: Bed) -> None:
    await bed.enrol()
    await bed.one.attached([(bed.facts(), None)], news=True)
    bed.clock.now += 30
    await bed.one.left({(DEN, AgentId("a1")): TROUBLE, (SIN, AgentId("none")): None})
    listed = await bed.only()
    assert (listed.attached_since, listed.last_seen_at) == (None, bed.clock.now)
    assert listed.last_trouble == TROUBLE.words


async def test_agent_that_moved_to_another_coordinator_stays_attached(bed: Bed) -> None:
    """Though the first one notices later that it has gone, or stops."""
    await bed.enrol()
    await bed.one.attached([(bed.facts(), None)], news=True)
    await bed.other.attached([(bed.facts(), None)], news=True)
    await bed.one.left({(DEN, AgentId("a1")): TROUBLE})
    await bed.one.stopped()
    assert (await bed.only()).attached_since == bed.clock.now
    await bed.other.stopped()
    assert (await bed.only()).attached_since is None


async def test_agent_of_a_coordinator_that_died_is_not_attached(bed: Bed) -> None:
    await bed.enrol()
    await bed.one.attached([(bed.facts(), None)], news=True)
    bed.clock.now += STALE_S + 1
    assert (await bed.only()).attached_since is None


async def test_one_coordinator_renews_the_row_of_an_agent_at_a_broker(bed: Bed) -> None:
    """The other one takes over if it stops to."""
    await bed.enrol()
    await bed.one.attached([(bed.facts(cpu_millis=1), None)], news=True)
    await bed.other.attached([(bed.facts(cpu_millis=2), None)], news=False)
    assert (await bed.only()).cpu_millis == 1
    await bed.one.attached([(bed.facts(cpu_millis=3), None)], news=False)
    assert (await bed.only()).cpu_millis == 3
    bed.clock.now += STALE_S + 1
    await bed.other.attached([(bed.facts(cpu_millis=4), None)], news=False)
    assert (await bed.only()).cpu_millis == 4


async def test_many_agents_are_written_at_once(bed: Bed) -> None:
    told = [(bed.facts(f"a{number:04}"), None) for number in range(1_000)]
    other = Bed(bed.database, bed.clock, enrolled=False)
    await other.one.attached(told, news=True)
    assert len(await bed.list.all()) == 1_000


async def test_agent_with_another_certificate_is_listed_without_one(
    database: Database, clock: ManualClock
) -> None:
    bed = Bed(database, clock, enrolled=False)
    await bed.one.attached([(bed.facts(), None)], news=True)
    listed = await bed.only()
    assert (listed.id, listed.state, listed.certificate_ends_at) == ("", "unenrolled", None)
    assert (await bed.list.named("den01/a1")) == listed


async def test_facts_are_of_the_agent_that_has_the_name_now(bed: Bed) -> None:
    first = await bed.enrol()
    await bed.one.attached([(bed.facts(), None)], news=True)
    await bed.agents.revoke(first)
    assert (await bed.only()).host == "host1"
    second = await bed.enrol()
    hosts = {each.id: each.host for each in await bed.list.all()}
    assert hosts == {first: "", second: "host1"}
    await bed.agents.forget(second)
    assert [each.id for each in await bed.list.all()] == [first]


async def test_agents_are_named_by_id_or_colo(bed: Bed) -> None:
    one = await bed.enrol()
    assert (await bed.list.named("a1")).id == one
    await bed.enrol("a1", SIN)
    with pytest.raises(UnknownIdError, match="may be any of den01/a1"):
        await bed.list.named("a1")
    assert (await bed.list.named("den01/a1")).id == one
    with pytest.raises(UnknownIdError, match="agent list"):
        await bed.list.named("den01/none")


async def test_id_means_its_agent_though_another_has_it_as_its_name(bed: Bed) -> None:
    """Who joins chooses the name, and could keep another one from being revoked."""
    one = await bed.enrol()
    await bed.enrol(one)
    assert (await bed.list.named(one)).agent_id == "a1"


async def test_old_rows_and_too_many_are_deleted(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed = Bed(database, clock, enrolled=False)
    for number in range(4):
        await bed.one.attached([(bed.facts(f"a{number}"), None)], news=True)
        clock.now += 1
    await bed.one.prune()
    assert len(await bed.list.all()) == 4
    monkeypatch.setattr(seen_module, "MOST_ROWS", 2)
    await bed.one.prune()
    assert [each.agent_id for each in await bed.list.all()] == ["a2", "a3"]
    clock.now += KEPT_S
    await bed.one.prune()
    assert await bed.list.all() == []


async def test_renamed_agent_keeps_its_id_and_what_it_told(bed: Bed) -> None:
    identity = await bed.enrol()
    await bed.one.attached([(bed.facts(), None)], news=True)
    await bed.renaming.agent(identity, colo="den01", agent_id="b1")
    listed = await bed.only()
    assert (listed.id, listed.name, listed.city) == (identity, "den01/b1", "Denver")
    assert listed.host == "host1"
    # Its coordinator writes once more what it had.
    await bed.one.attached([(bed.facts(), None)], news=False)
    await bed.one.left({(DEN, AgentId("a1")): None})
    assert (await bed.only()).name == "den01/b1"


async def test_agent_of_another_colo_gets_the_city_of_that(bed: Bed) -> None:
    await bed.enrol("s1", SIN, "Singapore, SG")
    identity = await bed.enrol()
    name = await bed.renaming.agent(identity, colo="sin01", agent_id="a1")
    assert name.city == "Singapore, SG"
    name = await bed.renaming.agent(identity, colo="sin01", agent_id="a1", city="Jurong, SG")
    assert name.city == "Jurong, SG"


async def test_taken_name_is_refused(bed: Bed) -> None:
    one, two = await bed.enrol("a1"), await bed.enrol("a2")
    with pytest.raises(NameTakenError, match="den01 already has an agent a1"):
        await bed.renaming.agent(two, colo="den01", agent_id="a1")
    await bed.agents.revoke(one)
    await bed.renaming.agent(two, colo="den01", agent_id="a1")
    with pytest.raises(UnknownIdError, match="revoked"):
        await bed.renaming.agent(one, colo="den01", agent_id="a3")


async def test_renamed_colo_takes_its_agents_and_tokens_along(bed: Bed) -> None:
    for agent_id in ("a1", "a2"):
        await bed.enrol(agent_id)
        await bed.one.attached([(bed.facts(agent_id), None)], news=True)
    secret = (await bed.enrolments.issue(DEN, city="Denver", uses=1, lifetime_s=60)).secret
    await bed.colos.remember([KeptColo(DEN, "Denver")])
    assert await bed.renaming.colo("den01", "den02", city="Golden, CO, US") == 2
    listed = await bed.list.all()
    assert [(each.name, each.city, each.host) for each in listed] == [
        ("den02/a1", "Golden, CO, US", "host1"),
        ("den02/a2", "Golden, CO, US", "host1"),
    ]
    assert [(colo.name, colo.city) for colo in await bed.colos.all()] == [
        ("den02", "Golden, CO, US")
    ]
    joined = await bed.enrolments.join(
        secret, agent_id=AgentId("a3"), key_sha256="3", lifetime_s=60
    )
    assert (joined.identity.colo, joined.city) == ("den02", "Golden, CO, US")


async def test_colo_can_get_another_city_alone(bed: Bed) -> None:
    await bed.enrol()
    await bed.colos.remember([KeptColo(DEN, "Denver")])
    assert await bed.renaming.colo("den01", "den01", city="Golden, CO, US") == 1
    assert (await bed.only()).city == "Golden, CO, US"
    assert [colo.city for colo in await bed.colos.all()] == ["Golden, CO, US"]


async def test_colos_can_be_merged_unless_their_agents_have_the_same_id(bed: Bed) -> None:
    await bed.enrol("a1")
    await bed.enrol("a1", SIN, "Singapore, SG")
    await bed.colos.remember([KeptColo(DEN, "Denver"), KeptColo(SIN, "Singapore, SG")])
    with pytest.raises(NameTakenError, match="sin01 already has an agent a1, as den01 does"):
        await bed.renaming.colo("den01", "sin01")
    one = await bed.list.named("den01/a1")
    await bed.renaming.agent(one.id, colo="den01", agent_id="a2")
    assert await bed.renaming.colo("den01", "sin01") == 1
    listed = [(each.name, each.city) for each in await bed.list.all()]
    assert listed == [("sin01/a1", "Singapore, SG"), ("sin01/a2", "Singapore, SG")]
    assert [colo.name for colo in await bed.colos.all()] == ["sin01"]
    with pytest.raises(UnknownIdError, match="den01 has no enrolled agent"):
        await bed.renaming.colo("den01", "den03")
