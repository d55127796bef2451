"""The last trouble of each agent."""

from colotrace_coordinator.fleet.troubles import MOST_CHARACTERS, Troubles
from colotrace_coordinator.model import Trouble
from colotrace_proto.messages import AgentId, ColoName
from manual_clock import ManualClock

DEN, SIN = ColoName("den01"), ColoName("sin01")
A, B = AgentId("a"), AgentId("b")


def test_last_trouble_of_an_agent_replaces_the_one_before() -> None:
    clock = ManualClock()
    troubles = Troubles(wall=clock)
    troubles.note(DEN, A, "it fell silent")
    clock.now += 5
    troubles.note(DEN, A, "it was lost")
    assert troubles.last(DEN, A) == Trouble(clock.now, "it was lost")
    assert troubles.last(DEN, B) is troubles.last(SIN, A) is None


def test_agent_without_a_new_trouble_for_longest_is_dropped() -> None:
    troubles = Troubles(most=2)
    for agent in (A, B, A, AgentId("c")):
        troubles.note(DEN, agent, "x")
    assert [bool(troubles.last(DEN, AgentId(each))) for each in "abc"] == [True, False, True]


def test_words_are_safe_and_bounded() -> None:
    troubles = Troubles()
    troubles.note(DEN, A, "\x1b[2J" + "x" * 1_000)
    found = troubles.last(DEN, A)
    assert found is not None
    assert found.words.isprintable()
    assert len(found.words) == MOST_CHARACTERS
