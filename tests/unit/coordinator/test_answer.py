"""What an answer looks up before it is asked for."""

from collections.abc import Iterable
from typing import cast

from colotrace_coordinator.answer import Answers
from colotrace_coordinator.enrich.names import Names
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.turns import Turns
from colotrace_proto.messages import Frame, JobId, Node, Replies

from .volatile import VolatileMemory

MINE, OTHERS = Origin("a", "c", 1), Origin("a", "c", 2)
R1, R2 = Node(b"\xc6\x12\x01\x01"), Node(b"\xc6\x12\x02\x01")


class Asked:
    """Records what is prefetched."""

    def __init__(self) -> None:
        self.addresses: list[tuple[int, list[str]]] = []

    def prefetch(self, addresses: Iterable[str], origin: Origin) -> None:
        """See `Names`."""
        self.addresses.append((origin.request, sorted(addresses)))


def frame(*nodes: Node) -> Frame:
    count = len(nodes)
    replies = Replies((1,) * count, (1,) * count, tuple(range(count)), nodes)
    return Frame(JobId("j"), 1, b"\xc6\x12\x09\x09", replies=replies)


def test_addresses_of_a_request_are_prefetched_once() -> None:
    """Each request asks for its own: names are looked up in its turn."""
    asked = Asked()
    answers = Answers(
        registry=Registry(VolatileMemory()), names=cast("Names", asked), asns=None, turns=Turns()
    )
    answers.prefetch(frame(R1), MINE)
    answers.prefetch(frame(R1), MINE)
    answers.prefetch(frame(R1, R2), MINE)
    answers.prefetch(frame(R2), OTHERS)
    assert asked.addresses == [
        (1, ["198.18.1.1", "198.18.9.9"]),
        (1, ["198.18.2.1"]),
        (2, ["198.18.2.1", "198.18.9.9"]),
    ]
