"""What a forger gets through is what docs/identity.md says, and a flood of it changes nothing."""

import random

import pytest

from forgery.forger import ATTACKS, ROUTER, Attack, attacked, campaign

PACKETS, FLOOD = 20_000, 5_000
"""`make forge` sends millions."""


def most(attack: Attack, packets: int) -> int:
    """Twice what is to be expected, and five standard deviations for luck."""
    expected = packets * 2**-attack.bits
    return int(2 * expected + 5 * expected**0.5) + 1


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_forgeries_count_as_rarely_as_the_bits_allow(attack: Attack) -> None:
    """The forger knows everything but the secret."""
    assert campaign(attack, packets=PACKETS, seed=1) <= most(attack, PACKETS)


def test_forger_with_the_secret_succeeds() -> None:
    """So that the test above can fail."""
    attack = next(attack for attack in ATTACKS if attack.name == "ICMP, 8 bytes")
    engine, trace = attacked(attack, secret=bytes(32))

    class Knowing(random.Random):
        def getrandbits(self, _bits: int, /) -> int:
            known = (trace.flow.first_number, trace.flow.marks.ip_ids[0])
            self.asked = getattr(self, "asked", -1) + 1
            return known[self.asked]

    engine.heard(attack.forge(trace.flow, Knowing()), at=1_000_000_001, read_at=1_000_000_001)
    assert [reply.address for reply in trace.replies] == [ROUTER]


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.bits > 20], ids=lambda a: a.name)
def test_flood_fills_no_table_and_changes_no_row(attack: Attack) -> None:
    """Forgeries are counted, and nothing else is kept of them."""
    engine, trace = attacked(attack, secret=bytes(32))
    rng = random.Random(2)
    before = len(engine)
    for _ in range(FLOOD):
        engine.heard(attack.forge(trace.flow, rng), at=1_000_000_001, read_at=1_000_000_001)
    counters = trace.counters
    unused = counters.foreign + counters.ambiguous + engine.foreign + engine.malformed
    assert unused == FLOOD
    assert (len(engine), trace.replies, engine.changed) == (before, [], set())
