"""What is not a true reply's identity does not count, and what has it does, as scapy sees it."""

import secrets

import pytest
from colotrace_agent.engine import placing
from colotrace_agent.engine.matching import Miss, match
from colotrace_agent.model import Flow, Heard

from mutants.campaign import campaign
from mutants.host import decoded, protocol_of
from mutants.subject import KINDS, Kind, Subject

MUTANTS = 100
SEEDS = ("1", "2", secrets.token_hex(4))
# No timing of a busy host's: processor time, and hundreds of times what it takes.
SLOWEST_S = 0.5


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_mutants_count_only_with_an_intact_identity(kind: Kind) -> None:
    """And always then. None raises or takes long. The last seed is new in each run."""
    for seed in SEEDS:
        tally = campaign(kind, mutants=MUTANTS, seed=seed)
        assert tally.disagreements == [], f"seed {seed}"
        assert tally.slowest_s < SLOWEST_S
        assert tally.arrived > MUTANTS // 2
        # Most kinds of damage leave the identity alone, so that nothing above is said of nothing.
        shows_enough = any(_counts(kind))
        assert (tally.counted > MUTANTS // 20) == shows_enough


def test_two_kinds_of_replies_show_too_little() -> None:
    """True replies of all other kinds count."""
    unused = [str(kind) for kind in KINDS if not any(_counts(kind))]
    assert unused == ["icmp IPv6 8", "udp IPv6 8"]


def test_faulty_engine_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that believes the number alone, or nothing that was translated."""

    def credulous(flow: Flow, heard: Heard, *, sent: int) -> int | Miss:
        found = match(flow, heard, sent=sent)
        alone = heard.number is not None and (heard.number - flow.first_number) % (1 << 16)
        return alone if found is Miss.FOREIGN and 0 <= alone < sent else found

    def strict(flow: Flow, heard: Heard, *, sent: int) -> int | Miss:
        return Miss.FOREIGN if heard.source != flow.source else match(flow, heard, sent=sent)

    kind = next(kind for kind in KINDS if str(kind) == "icmp IPv4 full")
    for fault in (credulous, strict):
        monkeypatch.setattr(placing, "match", fault)
        assert campaign(kind, mutants=MUTANTS, seed="1").disagreements


def _counts(kind: Kind) -> list[bool]:
    """Whether each true reply of the kind counts."""
    subject = Subject(kind, secret=bytes(32))
    counts = []
    for reply in subject.replies:
        heard = decoded(reply, protocol=protocol_of(reply), family=kind.family)
        counts.append(isinstance(heard, Heard) and subject.hear(heard) is not None)
        subject.begin()
    return counts
