"""Presences of agents that are not yet known as enrolled."""

from colotrace_coordinator.links.mqtt.strangers import MOST, Strangers
from colotrace_proto.bus import Process
from colotrace_proto.messages import AgentId, ColoName


def process(number: int) -> Process:
    return Process(ColoName("den01"), AgentId(f"a{number}"), bytes(16))


def test_last_presence_is_taken_once_its_agent_counts() -> None:
    strangers = Strangers()
    assert strangers.keep(process(1), b"first", 10)
    assert not strangers.keep(process(1), b"second", 20)
    assert list(strangers.admitted(lambda _: False, 1)) == []
    assert list(strangers.admitted(lambda _: True, 1)) == [(process(1), b"second", 20)]
    assert list(strangers.admitted(lambda _: True, 1)) == []


def test_process_that_is_gone_or_expired_is_not_taken() -> None:
    strangers = Strangers()
    strangers.keep(process(1), b"x", 10)
    strangers.keep(process(2), b"x", 20)
    assert not strangers.keep(process(2), b"", 20)
    assert list(strangers.admitted(lambda _: True, 10)) == []


def test_number_is_bounded() -> None:
    strangers = Strangers()
    for number in range(MOST + 1):
        strangers.keep(process(number), b"x", 10)
    taken = [each for each, *_ in strangers.admitted(lambda _: True, 1)]
    assert taken == [process(number) for number in range(1, MOST + 1)]
