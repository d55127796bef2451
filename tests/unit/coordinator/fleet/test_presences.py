"""Who is there by the broker's word, in virtual time."""

from contextlib import suppress

import pytest
from colotrace_coordinator.fleet import presences as presences_module
from colotrace_coordinator.fleet.presences import (
    CONFIRM_S,
    ID_BURST,
    MAX_OF_ID,
    TAKEOVER_BURST,
    Announced,
    Event,
    Gone,
    Presences,
)
from colotrace_proto.bus import PRESENCE_EXPIRY_S, Process
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import AgentId, ColoName, Presence
from colotrace_proto.published import encode_presence
from hypothesis import given
from hypothesis import strategies as st
from unit.coordinator.scripted_agent import hello

DEN, SIN = ColoName("den01"), ColoName("sin01")


def process(boot: int = 1, *, name: str = "a", colo: ColoName = DEN) -> Process:
    return Process(colo, AgentId(name), boot.to_bytes(16, "big"))


def payload(who: Process, *, started_ms: int = 0, draining: bool = False) -> bytes:
    said = hello(who.agent_id, colo=who.colo, boot=who.boot_id)
    return encode_presence(Presence(said, started_ms or who.boot_id[-1], draining))


class Broker:
    """What processes say, as it comes in; `now` moves by hand."""

    def __init__(self) -> None:
        self.presences = Presences()
        self.now = 0.0

    def up(
        self,
        who: Process,
        *,
        started_ms: int = 0,
        draining: bool = False,
        expiry_s: float = PRESENCE_EXPIRY_S,
    ) -> list[tuple[str, int]]:
        said = payload(who, started_ms=started_ms, draining=draining)
        return told(self.presences.heard(who.presence, said, self.now, expiry_s=expiry_s))

    def will(self, who: Process) -> list[tuple[str, int]]:
        return told(self.presences.heard(who.presence, b"", self.now))

    def until(self, now: float) -> list[tuple[str, int]]:
        self.now = now
        return told(self.presences.expire(now))


def told(events: list[Event]) -> list[tuple[str, int]]:
    """What happened, and to which boot."""
    words = []
    for event in events:
        boot = event.process.boot_id[-1]
        match event:
            case Announced(fresh=fresh):
                words.append(("came" if fresh else "renewed", boot))
            case Gone():
                words.append(("gone", boot))
    return words


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_process_is_announced_renewed_and_gone(broker: Broker) -> None:
    """By its own word, or by its last will."""
    assert broker.up(process()) == [("came", 1)]
    assert broker.up(process()) == [("renewed", 1)]
    assert broker.presences.counting(DEN, AgentId("a")) == process()
    assert broker.will(process()) == [("gone", 1)]
    assert broker.presences.counting(DEN, AgentId("a")) is None
    assert broker.up(process()) == [("came", 1)]


def test_last_will_ends_its_own_process_only(broker: Broker) -> None:
    """The host restarts, and what the broker says of the earlier boot comes late."""
    broker.up(process(1))
    assert broker.up(process(2)) == [("gone", 1), ("came", 2)]
    assert broker.will(process(1)) == []
    assert broker.will(process(1)) == []
    assert broker.presences.counting(DEN, AgentId("a")) == process(2)
    assert len(broker.presences) == 1


def test_last_will_of_an_unknown_process_is_ignored(broker: Broker) -> None:
    """Of a process that was never heard of."""
    assert broker.will(process()) == []
    assert len(broker.presences) == 0


def test_process_that_started_last_counts(broker: Broker) -> None:
    """In whatever order they are heard, and the other is back when it has gone."""
    assert broker.up(process(2)) == [("came", 2)]
    assert broker.up(process(1)) == []
    assert broker.up(process(1)) == []
    assert broker.up(process(3)) == [("gone", 2), ("came", 3)]
    assert broker.will(process(2)) == []
    assert broker.will(process(3)) == [("gone", 3), ("came", 1)]
    assert broker.will(process(1)) == [("gone", 1)]


def test_processes_started_at_once_are_ordered_by_boot_id(broker: Broker) -> None:
    """All coordinators choose the same, and it stays so."""
    broker.up(process(2), started_ms=7)
    assert broker.up(process(1), started_ms=7) == []
    assert broker.up(process(2), started_ms=7) == [("renewed", 2)]


def test_same_id_in_two_colos_is_two_agents(broker: Broker) -> None:
    """An id belongs to its colo, a boot id too."""
    broker.up(process(1))
    assert broker.up(process(1, colo=SIN)) == [("came", 1)]
    assert broker.will(process(1, colo=SIN)) == [("gone", 1)]
    assert broker.presences.counting(DEN, AgentId("a")) == process(1)


def test_presence_that_is_not_renewed_expires(broker: Broker) -> None:
    """Whatever became of its will."""
    broker.up(process(1))
    assert broker.until(PRESENCE_EXPIRY_S - 1) == []
    broker.up(process(1))
    assert broker.until(PRESENCE_EXPIRY_S + 1) == []
    assert broker.until(2 * PRESENCE_EXPIRY_S - 1) == [("gone", 1)]
    assert len(broker.presences) == 0


def test_retained_presence_has_its_remaining_lifetime(broker: Broker) -> None:
    """A message that it hands on says how much of its time is left."""
    broker.up(process(1), expiry_s=3)
    broker.up(process(2, name="b"), expiry_s=10**9)
    assert broker.until(3) == [("gone", 1)]
    assert broker.until(PRESENCE_EXPIRY_S) == [("gone", 2)]


def test_agents_that_reconnect_after_an_outage_stay(broker: Broker) -> None:
    """They say fresh that they are there, and may have missed what was published before."""
    broker.up(process(1))
    broker.up(process(2, name="b"))
    broker.now = 1000.0  # nobody could renew anything, and nobody looked
    broker.presences.back(broker.now)
    broker.now += CONFIRM_S - 1
    assert broker.up(process(1)) == [("came", 1)]
    assert broker.up(process(1)) == [("renewed", 1)]
    assert broker.until(1000 + CONFIRM_S) == [("gone", 2)]
    assert broker.until(1000 + PRESENCE_EXPIRY_S - 1) == []


def test_draining_is_reported(broker: Broker) -> None:
    """With each renewal."""
    broker.up(process())
    said = payload(process(), draining=True)
    (event,) = broker.presences.heard(process().presence, said, 0.0)
    assert isinstance(event, Announced)
    assert event.presence.draining
    assert not event.fresh


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("colotrace/v1/agents/den01/a", payload(process())),
        (process().presence, b"\xff\xff"),
        (process().presence, b"\x08\x01"),
        (process().presence, bytes(20_000)),
        (process(2).presence, payload(process(1))),
        (process(colo=SIN).presence, payload(process())),
        (process(name="b").presence, payload(process(name="a"))),
    ],
)
def test_invalid_message_changes_nothing(broker: Broker, topic: str, said: bytes) -> None:
    """Neither garbage nor somebody else's presence."""
    broker.up(process(1))
    with pytest.raises(ProtocolError):
        broker.presences.heard(topic, said, 0.0)
    assert len(broker.presences) == 1
    assert broker.up(process(1)) == [("renewed", 1)]


def test_processes_are_bounded(broker: Broker) -> None:
    """Those that are there stay so."""
    broker.presences = Presences(most=2)
    broker.up(process(1))
    broker.up(process(1, name="b"))
    with pytest.raises(ProtocolError):
        broker.up(process(1, name="c"))
    assert broker.up(process(1)) == [("renewed", 1)]
    broker.will(process(1))
    assert broker.up(process(1, name="c")) == [("came", 1)]


def test_one_id_cannot_use_up_the_bound(broker: Broker) -> None:
    """A broker's user may write as many processes of its id as it likes."""
    for number in range(10_000):
        who = Process(DEN, AgentId("a"), number.to_bytes(16, "big"))
        with suppress(ProtocolError):
            broker.presences.heard(who.presence, payload(who), broker.now)
    assert len(broker.presences) == MAX_OF_ID
    assert broker.up(process(1, name="b")) == [("came", 1)]
    assert broker.up(process(1, colo=SIN)) == [("came", 1)]


def test_later_process_replaces_the_earliest_of_its_id(broker: Broker) -> None:
    """Where there are too many of one id; when the one that counts goes, the latest counts."""
    broker.up(process(1), started_ms=1)
    for boot in range(2, MAX_OF_ID + 1):
        broker.up(process(boot), started_ms=boot)
    with pytest.raises(ProtocolError):
        broker.up(process(0))
    broker.up(process(50), started_ms=1_000)
    assert len(broker.presences) == MAX_OF_ID
    counting = broker.presences.counting(DEN, AgentId("a"))
    assert counting is not None
    assert broker.will(counting)[-1] == ("came", 50)


def test_one_colo_cannot_use_up_the_bound(broker: Broker) -> None:
    """Where a broker has no ACL."""
    broker.presences = Presences(most=100, most_of_colo=10)
    for number in range(10):
        broker.up(process(1, name=f"a{number}"))
    with pytest.raises(ProtocolError):
        broker.up(process(1, name="b"))
    assert broker.up(process(1, colo=SIN)) == [("came", 1)]


def test_messages_of_one_id_are_bounded_before_they_are_decoded(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's are taken, and its own again after a while."""
    for _ in range(int(ID_BURST)):
        broker.up(process(1))
    with monkeypatch.context() as patch:
        patch.setattr(presences_module, "decode_presence", lambda _: pytest.fail("decoded"))
        with pytest.raises(ProtocolError):
            broker.up(process(1))
    assert broker.up(process(1, name="b")) == [("came", 1)]
    broker.now += 20
    assert broker.up(process(1)) == [("renewed", 1)]


def test_processes_that_share_an_id_stop_replacing_each_other(broker: Broker) -> None:
    """Each that comes has started later; after a few the one that counts stays."""
    takeovers = 0
    for boot in range(1, MAX_OF_ID + 1):
        takeovers += ("came", boot) in broker.up(process(boot))
        broker.now += 1
    assert takeovers == 1 + TAKEOVER_BURST
    # It goes: the last that started counts.
    assert broker.will(process(int(TAKEOVER_BURST) + 1)) == [
        ("gone", int(TAKEOVER_BURST) + 1),
        ("came", MAX_OF_ID),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["up", "will", "time", "back"]),
            st.integers(1, 3),
            st.sampled_from(["a", "b"]),
        ),
        max_size=40,
    )
)
def test_one_process_of_each_id_counts_after_any_events(steps: list[tuple[str, int, str]]) -> None:
    """One counts for each id, the last that started; who has gone leaves nothing behind, and what
    is told adds up to who is there."""
    broker = Broker()
    broker.presences = Presences(takeover_burst=1_000)
    counting: dict[str, Process] = {}

    def note(events: list[Event]) -> None:
        for event in events:
            name = event.process.agent_id
            match event:
                case Announced(fresh=True):
                    assert counting.get(name) in (None, event.process)
                    counting[name] = event.process
                case Announced():
                    assert counting[name] == event.process
                case Gone():
                    assert counting.pop(name) == event.process

    presences = broker.presences
    for what, boot, name in steps:
        who = process(boot, name=name)
        match what:
            case "up":
                note(presences.heard(who.presence, payload(who), broker.now))
            case "will":
                note(presences.heard(who.presence, b"", broker.now))
            case "time":
                broker.now += 20.0 * boot
                note(presences.expire(broker.now))
            case "back":
                presences.back(broker.now)
        known = presences.processes()
        for each in ("a", "b"):
            boots = [p for p in known if p.agent_id == each]
            assert counting.get(each) == max(boots, key=lambda p: p.boot_id, default=None)
            assert presences.counting(DEN, AgentId(each)) == counting.get(each)
    broker.now += 1000
    note(presences.expire(broker.now))
    assert counting == {}
    assert presences.processes() == []
    assert presences.places() == set()
    assert {presences.counting(DEN, AgentId(each)) for each in ("a", "b")} == {None}
