"""Why a peer's path may differ from the agent's, each reason with its own proof.

A reason is tried only where the two differ, and must show from the paths themselves, and from
what the lab knows of itself, that it applies: otherwise the difference stands unexplained.
"""

from __future__ import annotations

from itertools import takewhile

from lab import Hop

from oracle.peers import MAX_TTL, SCAMPER_GAP, Path


def differences(peer: str, *, ours: Path, theirs: Path, truth: tuple[Hop, ...]) -> list[str]:
    """Every difference that nothing explains, in words; empty where the paths agree."""
    unexplained = []
    shared = min(len(ours), len(theirs))
    for ttl, (own, other) in enumerate(zip(ours[:shared], theirs[:shared], strict=True), start=1):
        if own != other and not is_another_side(own, other, truth=truth, ttl=ttl):
            unexplained.append(f"TTL {ttl}: the agent saw {set(own)}, {peer} {set(other)}")
    if len(ours) != len(theirs) and not _ends_early(peer, ours=ours, theirs=theirs):
        unexplained.append(f"the agent's path has {len(ours)} hops, {peer}'s {len(theirs)}")
    return unexplained


def is_another_side(
    own: frozenset[str], other: frozenset[str], *, truth: tuple[Hop, ...], ttl: int
) -> bool:
    """ECMP: the hop is balanced, and each program's flows took some of its true addresses.

    The agent keeps one flow, so it sees one address; a peer whose probes are flows of their own
    may see them all.
    """
    balanced = truth[ttl - 1].answers if ttl <= len(truth) else frozenset()
    return len(balanced) > 1 and len(own) == 1 and bool(other) and own | other <= balanced


def _ends_early(peer: str, *, ours: Path, theirs: Path) -> bool:
    """Nobody answered to the end: the agent says so up to the last TTL that it probed, as the
    API's contract wants; the peer stops at a place of its own rule."""
    silent = len(list(takewhile(lambda hop: not hop, reversed(theirs))))
    beyond = ours[len(theirs) - silent :]
    if len(ours) != MAX_TTL or len(theirs) > MAX_TTL or any(beyond):
        return False
    return silent == _SILENT_HOPS_TOLD.get(peer)


_SILENT_HOPS_TOLD = {
    "scamper": SCAMPER_GAP,  # its gap limit
    "mtr": 1,  # its report shows one hop past the last that answered
}
