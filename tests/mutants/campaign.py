"""Mutants through decoder and engine, and what scapy says of each.

The engine may count a mutant for a probe only if scapy finds that probe's identity in it; and where
scapy does, the engine has to: both ways, it is the same probe or it is a disagreement. A mutated
identity that happens to be another probe's is that probe's for both.
"""

import random
import time
from dataclasses import dataclass, field

from colotrace_agent.model import Heard

from mutants.host import admitted, decoded, protocol_of
from mutants.judge import Judge
from mutants.mutation import mutant
from mutants.subject import KINDS, Kind, Subject


@dataclass(slots=True)
class Tally:
    """What became of the mutants of one kind of reply."""

    made: int = 0
    arrived: int = 0
    """Let through by the kernel."""
    counted: int = 0
    """As a reply, by the engine."""
    judged: int = 0
    slowest_s: float = 0.0
    """The most processor time that one took to be decoded and heard."""
    disagreements: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Takes in another tally."""
        self.made += other.made
        self.arrived += other.arrived
        self.counted += other.counted
        self.judged += other.judged
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.disagreements += other.disagreements


def campaign(kind: Kind, *, mutants: int, seed: str, judged: float = 1.0) -> Tally:
    """Returns what became of so many mutants; of those that the engine does not count, a share
    (`judged`) is judged all the same."""
    rng, sample = random.Random(f"{seed} {kind}"), random.Random(f"{seed} {kind} judged")
    subject = Subject(kind, secret=rng.randbytes(32))
    judge = Judge(kind.packet_type, subject.probes)
    lenders = _strangers(kind, secret=rng.randbytes(32))
    protocol = protocol_of(subject.replies[0])
    tally = Tally()
    for _ in range(mutants):
        packet, done = mutant(subject.replies, rng, strangers=lenders)
        tally.made += 1
        whole = admitted(packet, protocol=protocol, address=subject.flow.source)
        began = time.thread_time()
        try:
            # What the kernel would not let through must do no harm either.
            heard = decoded(whole or packet, protocol=protocol, family=kind.family)
            counted = None
            if whole is not None and isinstance(heard, Heard):
                counted = subject.hear(heard)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            tally.disagreements.append(f"{kind}: {error!r} after {done}: {packet.hex()}")
            subject.begin()
            continue
        tally.slowest_s = max(tally.slowest_s, time.thread_time() - began)
        if whole is None:
            continue
        tally.arrived += 1
        tally.counted += counted is not None
        if counted is not None or sample.random() < judged:
            tally.judged += 1
            named = judge.names(whole)
            if named != counted:
                tally.disagreements.append(
                    f"{kind}: counted for {counted}, judged {named}, after {done}: {whole.hex()}"
                )
        if counted is not None or subject.trace.caveats.send_errors:
            subject.begin()
    return tally


def _strangers(kind: Kind, *, secret: bytes) -> list[bytes]:
    """Return replies of every other kind in the family."""
    others = [each for each in KINDS if each != kind and each.family == kind.family]
    return [reply for each in others for reply in Subject(each, secret=secret).replies[:3]]
