"""Who is attached, and which colos there are."""

from typing import cast

import pytest
from colotrace_coordinator.colos.known import ColoFacts
from colotrace_coordinator.colos.selectors import Tagged
from colotrace_coordinator.errors import RegistryFullError, SupersededError
from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.attached import MAX_TAKEOVERS
from colotrace_coordinator.fleet.link import AgentLink
from colotrace_coordinator.fleet.registry import Registry
from colotrace_proto.locations import Location
from colotrace_proto.messages import ColoName, Family, Hello, PacketType
from colotrace_proto.tags import Tag
from manual_clock import ManualClock
from unit.coordinator.scripted_agent import hello
from unit.coordinator.volatile import VolatileMemory

DEN, SIN = ColoName("den01"), ColoName("sin01")
# No registry sends anything.
LINK = cast("AgentLink", None)


def key(who: Hello) -> AgentKey:
    return AgentKey.of(who)


def test_colos_are_listed_with_their_agents_capabilities() -> None:
    """By name; families and packet types of all agents together."""
    registry = Registry(VolatileMemory())
    registry.attach(hello("s", colo="sin01", city="Singapore, SG"), 0, link=LINK)
    registry.attach(hello("a", packet_types={PacketType.ICMP}), 0, link=LINK)
    registry.attach(hello("b", families={Family.IPV6}, packet_types={PacketType.TCP}), 0, link=LINK)
    den, sin = registry.colos()
    assert (den.name, den.city, den.agents, den.state) == (DEN, "Denver, CO, US", 2, "up")
    assert den.families == {Family.IPV4, Family.IPV6}
    assert den.packet_types == {PacketType.ICMP, PacketType.TCP}
    assert (sin.name, sin.city) == (SIN, "Singapore, SG")


def test_colos_outlive_their_agents() -> None:
    """Remembered from before this process, and after the last agent has gone."""
    memory = VolatileMemory([(SIN, "Singapore, SG")])
    registry = Registry(memory)
    who = hello()
    registry.attach(who, 0, link=LINK)
    registry.detach(key(who))
    assert [(c.name, c.state, c.agents) for c in registry.colos()] == [
        (DEN, "down", 0),
        (SIN, "down", 0),
    ]
    assert registry.city(SIN) == "Singapore, SG"
    assert (DEN, ColoFacts("Denver, CO, US")) in memory.all()
    assert registry.city(ColoName("fra01")) == ""


def test_drained_agents_are_known_by_name_also_after_a_restart() -> None:
    registry = Registry(VolatileMemory())
    first, second = hello("a"), hello("b")
    for who in (first, second):
        registry.attach(who, 0, link=LINK)
    name = (DEN, first.agent_id)
    assert [agent.hello.agent_id for agent in registry.drain(frozenset([name]))] == ["a"]
    assert [agent.takes_jobs for agent in registry.agents(DEN)] == [False, True]
    assert registry.drain(frozenset([name])) == []
    registry.detach(key(first))
    registry.detach(key(second))
    registry.attach(hello("a"), 1, link=LINK)
    assert [colo.state for colo in registry.colos()] == ["draining"]
    assert len(registry.drain(frozenset())) == 1
    assert [colo.state for colo in registry.colos()] == ["up"]


def test_colo_is_awaited_until_an_agent_of_it_takes_jobs() -> None:
    """An agent that takes no jobs is not enough, whether it is stopping or not announced yet."""
    for away in (True, False):
        registry = Registry(VolatileMemory([(DEN, "Denver, CO, US")]))
        who = hello()
        assert registry.awaited(DEN) is True
        registry.attach(who, 0, draining=True, away=away, link=LINK)
        assert registry.awaited(DEN) is True
        agent = registry.get(key(who))
        assert agent is not None
        registry.mark(agent, draining=False)
        assert not registry.awaited(DEN)


def test_a_new_colo_is_awaited_until_its_agent_is_announced() -> None:
    """A second, unannounced agent beside one that takes jobs does not make it awaited again."""
    registry = Registry(VolatileMemory())
    first, second = hello("a"), hello("b")
    registry.attach(first, 0, draining=True, away=True, link=LINK)
    assert registry.awaited(DEN) is True
    agent = registry.get(key(first))
    assert agent is not None
    registry.mark(agent, draining=False)
    registry.attach(second, 0, draining=True, away=True, link=LINK)
    assert not registry.awaited(DEN)


def test_new_name_of_a_city_is_remembered() -> None:
    """What the latest agent says counts."""
    memory = VolatileMemory([(DEN, "Denvr")])
    registry = Registry(memory)
    registry.attach(hello(), 0, link=LINK)
    assert memory.all() == [(DEN, ColoFacts("Denver, CO, US"))]


def test_process_that_attaches_again_keeps_draining() -> None:
    """Another begins as it says."""
    registry = Registry(VolatileMemory())
    first, later = hello("a"), hello("a")
    registry.attach(first, 0, draining=True, link=LINK)
    registry.attach(first, 1, link=LINK)
    assert [agent.draining for agent in registry.agents(DEN)] == [True]
    registry.attach(later, 2, link=LINK)
    assert [agent.draining for agent in registry.agents(DEN)] == [False]
    registry.attach(later, 3, draining=True, link=LINK)
    assert [agent.draining for agent in registry.agents(DEN)] == [False]


def test_colo_drains_if_all_its_agents_drain() -> None:
    """One that takes jobs is enough to be up."""
    registry = Registry(VolatileMemory())
    first, second = hello("a"), hello("b")
    for who in (first, second):
        registry.attach(who, 0, link=LINK)
    states = []
    for who in (first, second):
        agent = registry.get(key(who))
        assert agent is not None
        registry.mark(agent, draining=True)
        states += [colo.state for colo in registry.colos()]
    registry.mark(agent, draining=False)
    states += [colo.state for colo in registry.colos()]
    for who in (first, second):
        registry.detach(key(who))
        states += [colo.state for colo in registry.colos()]
    registry.attach(first, 1, draining=True, link=LINK)
    states += [colo.state for colo in registry.colos()]
    assert states == ["up", "draining", "up", "up", "down", "draining"]


def test_superseded_process_cannot_attach_again() -> None:
    """The earlier one is named, and cannot come back while the later one is there."""
    registry = Registry(VolatileMemory())
    first, second = hello("a"), hello("a")
    registry.attach(first, 0, link=LINK)
    replaced = registry.attach(second, 1, link=LINK)
    assert replaced is not None
    assert replaced.key == key(first)
    assert [c.key for c in registry.agents(DEN)] == [key(second)]
    with pytest.raises(SupersededError, match="give each agent of a colo an id of its own"):
        registry.attach(first, 2, link=LINK)
    registry.detach(key(second))
    assert registry.attach(first, 3, link=LINK) is None


def test_another_colo_may_use_the_same_id() -> None:
    """So that one colo's agent can never push out another's."""
    registry = Registry(VolatileMemory())
    assert registry.attach(hello("a"), 0, link=LINK) is None
    assert registry.attach(hello("a", colo="sin01"), 0, link=LINK) is None
    assert len(registry) == 2


def test_process_cannot_attach_for_two_colos() -> None:
    """The same process cannot attach for two."""
    registry = Registry(VolatileMemory())
    registry.attach(hello("a", boot=b"b" * 16), 0, link=LINK)
    with pytest.raises(SupersededError, match="already attached for den01"):
        registry.attach(hello("a", boot=b"b" * 16, colo="sin01"), 0, link=LINK)


def test_process_that_attaches_again_replaces_itself() -> None:
    """A new stream beside a half-dead one; its jobs are the index's (see `jobs/test_index`)."""
    registry = Registry(VolatileMemory(), max_agents=1)
    who = hello()
    registry.attach(who, 0, link=LINK)
    assert registry.attach(who, 5, link=LINK) is None
    (agent,) = registry.agents(DEN)
    assert (agent.key, agent.heard_at) == (key(who), 5)


def test_agents_and_colos_are_bounded() -> None:
    """So many agents and colos, and no more."""
    registry = Registry(VolatileMemory(), max_agents=2, max_colos=1)
    registry.attach(hello("a"), 0, link=LINK)
    with pytest.raises(RegistryFullError, match="1 colos are known"):
        registry.attach(hello("s", colo="sin01"), 0, link=LINK)
    registry.attach(hello("b"), 0, link=LINK)
    with pytest.raises(RegistryFullError, match="2 in all are attached"):
        registry.attach(hello("c"), 0, link=LINK)


def test_detaching_an_unknown_agent_is_ignored() -> None:
    """It may have been replaced meanwhile."""
    assert Registry(VolatileMemory()).detach(key(hello())) is None


def test_colo_has_its_share_of_agents() -> None:
    """Another's agents come in all the same; one that goes leaves its place."""
    registry = Registry(VolatileMemory(), max_agents=100, max_agents_of_colo=3)
    agents = [hello(f"a{number}") for number in range(4)]
    for who in agents[:3]:
        registry.attach(who, 0, link=LINK)
    with pytest.raises(RegistryFullError):
        registry.attach(agents[3], 0, link=LINK)
    registry.attach(hello("s", colo="sin01"), 0, link=LINK)
    registry.attach(agents[0], 1, link=LINK)  # the same process again
    registry.detach(key(agents[1]))
    registry.attach(agents[3], 2, link=LINK)
    assert len(registry) == 4


@pytest.mark.parametrize("processes", [2, 5, 24])
def test_processes_that_share_an_id_stop_replacing_each_other(processes: int) -> None:
    """Each tries every 10 s: one of them stays, and the others are told why."""
    registry = Registry(VolatileMemory())
    fleet = [hello("a") for _ in range(processes)]
    takeovers = []
    for second in range(0, 600, 10):
        for who in fleet:
            if registry.get(key(who)) is not None:
                continue
            try:
                if registry.attach(who, second, link=LINK) is not None:
                    takeovers.append(second)
            except SupersededError:
                pass
    assert len(takeovers) <= MAX_TAKEOVERS
    assert max(takeovers) == 0


def test_agent_that_is_restarted_takes_over() -> None:
    """Though its former process is still thought attached, and as often as in a day's work."""
    registry = Registry(VolatileMemory())
    registry.attach(hello("a"), 0, link=LINK)
    for hour in range(1, 25):
        assert registry.attach(hello("a"), hour * 3600, link=LINK) is not None


def test_id_is_free_once_its_agent_is_detached() -> None:
    registry = Registry(VolatileMemory())
    fleet = [hello("a") for _ in range(MAX_TAKEOVERS + 2)]
    for who in fleet[:-1]:
        registry.attach(who, 0, link=LINK)
    with pytest.raises(SupersededError):
        registry.attach(fleet[-1], 1, link=LINK)
    registry.detach(key(fleet[-2]))
    registry.attach(fleet[-1], 2, link=LINK)


def test_invented_colo_replaces_an_older_one_without_agents() -> None:
    """Neither those that were known before nor those that have an agent do."""
    memory = VolatileMemory([(SIN, "Singapore, SG")])
    registry = Registry(memory, vouched=False, max_colos=4)
    forgotten: list[ColoName] = []
    registry.on_forgotten = forgotten.append
    registry.attach(hello("a"), 0, link=LINK)
    for number in range(1, 11):
        who = hello("x", colo=f"abc{number:02}")
        registry.attach(who, 0, link=LINK)
        registry.detach(key(who))
    assert {colo.name for colo in registry.colos()} == {SIN, DEN, "abc09", "abc10"}
    assert forgotten == [f"abc{number:02}" for number in range(1, 9)]
    assert len(memory.all()) == 4


def test_colo_that_has_an_agent_is_not_forgotten() -> None:
    registry = Registry(VolatileMemory())
    who = hello()
    registry.attach(who, 0, link=LINK)
    assert not registry.forget(DEN)
    registry.detach(key(who))
    assert registry.forget(DEN)
    assert registry.colos() == ()


def test_colo_has_the_tags_of_all_its_agents() -> None:
    """And keeps those of the last one, so that an outage does not hide the colo."""
    registry = Registry(VolatileMemory())
    x, y = Tag("provider", "x"), Tag("provider", "y")
    one, other = hello("a", tags=[x, Tag("rack", "1")]), hello("b", tags=[y])
    for who in (one, other):
        registry.attach(who, 0, link=LINK)
    assert registry.known.tags(DEN) == {x, y, Tag("rack", "1")}
    assert registry.known.matching(Tagged(x)) == {DEN}
    registry.detach(key(one))
    assert registry.known.tags(DEN) == {y}
    assert registry.known.matching(Tagged(x)) == set()
    registry.detach(key(other))
    assert registry.known.tags(DEN) == {y}
    registry.attach(hello("b", tags=[x]), 0, link=LINK)
    assert registry.known.tags(DEN) == {x}
    registry.attach(hello("b"), 0, link=LINK)
    assert registry.known.tags(DEN) == set()


def test_colo_has_the_location_of_its_first_agent_that_tells_one() -> None:
    """By id, whichever attached first; and it keeps that of the last one that has left."""
    registry = Registry(VolatileMemory())
    denver, aurora = Location(39.74, -104.99), Location(39.73, -104.83)
    silent = hello("a")
    one, other = hello("b", location=denver), hello("c", location=aurora)

    def location() -> Location | None:
        [status] = registry.colos()
        return status.location

    registry.attach(silent, 0, link=LINK)
    assert location() is None
    registry.attach(other, 0, link=LINK)
    assert location() == aurora
    registry.attach(one, 0, link=LINK)
    assert location() == denver
    assert [agent.location for agent in registry.every_agent()] == [None, denver, aurora]
    registry.detach(key(silent))
    registry.detach(key(one))
    assert location() == aurora
    registry.detach(key(other))
    assert location() == aurora
    registry.attach(hello("c"), 0, link=LINK)
    assert location() is None


def test_forgotten_colo_has_no_location() -> None:
    registry = Registry(VolatileMemory())
    who = hello("a", location=Location(0.0, 0.0))
    registry.attach(who, 0, link=LINK)
    registry.detach(key(who))
    registry.forget(DEN)
    registry.attach(hello("a"), 0, link=LINK)
    [status] = registry.colos()
    assert status.location is None


def test_tags_are_remembered_once_they_change() -> None:
    memory = VolatileMemory()
    registry = Registry(memory)
    x, y = Tag("provider", "x"), Tag("rack", "7")
    one, other = hello("a", tags=[x]), hello("b", tags=[y])
    for who in (one, other):
        registry.attach(who, 0, link=LINK)
    assert dict(memory.all())[DEN].tags == {x, y}
    for who in (one, other):
        registry.detach(key(who))
    assert dict(memory.all())[DEN] == ColoFacts("Denver, CO, US", frozenset({y}))
    assert Registry(memory).known.matching(Tagged(y)) == {DEN}


def test_process_that_attaches_again_was_attached_all_the_time() -> None:
    """Another process with its id was not, and neither was one that had gone."""
    clock = ManualClock()
    registry = Registry(VolatileMemory(), wall=clock)

    def since(who: Hello) -> float:
        clock.now += 10
        registry.attach(who, 0, link=LINK)
        (status,) = registry.every_agent()
        return status.attached_since

    first, second = hello("a"), hello("a")
    assert since(first) == since(first) == 1_010.0
    assert since(second) == 1_030.0
    registry.detach(key(second))
    assert since(second) == 1_040.0
