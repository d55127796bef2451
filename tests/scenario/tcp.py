"""What a target's TCP makes of several SYNs on one four-tuple."""

from scenario.answers import challenge, segment
from scenario.kinds import TcpAnswer
from scenario.probe import ACK, RST, SYN, Probe

_WINDOW = 64240
_MODULUS = 1 << 32
# The flags of answers that are no RST with ACK.
_FLAGS = {
    TcpAnswer.SYN_ACK: SYN | ACK,
    TcpAnswer.SYN_ACK_OWN: SYN | ACK,
    TcpAnswer.RST: RST,
    TcpAnswer.RST_BARE: RST,
}
# What an answer acknowledges, from the SYN's number on, where that is not the next; None: 0.
_ACKNOWLEDGED = {
    TcpAnswer.SYN_ACK_OWN: 0,
    TcpAnswer.RST_ACK_OWN: 0,
    TcpAnswer.RST_ACK_BEYOND: 5,
    TcpAnswer.RST_BARE: None,
    TcpAnswer.RST_ACK_ZERO: None,
}
# Where another connection on the four-tuple is.
_ELSEWHERE = 0x0BADCAFE


class Listener:
    """A Linux listener's half-open connections, as `tcp_check_req` treats them.

    The first SYN of a four-tuple gets a SYN-ACK, and so does its retransmission. Another SYN inside
    the window kills the half-open connection with a reset that acknowledges it; one outside of the
    window is answered with a challenge ACK about the first. That is why ascending sequence numbers
    are answered one and all, and random ones mostly not.
    """

    def __init__(self) -> None:
        self._half_open: dict[tuple[int, int], int] = {}

    def answer(self, probe: Probe, *, source: bytes) -> bytes:
        """Return the segment that answers a SYN."""
        return self._answer(probe, source=source, window=_WINDOW)

    def challenge(self, probe: Probe, *, source: bytes) -> bytes:
        """Return it from a listener that challenges whatever is no retransmission."""
        return self._answer(probe, source=source, window=0)

    def _answer(self, probe: Probe, *, source: bytes, window: int) -> bytes:
        first = self._half_open.setdefault(probe.ports, probe.sequence)
        ahead = (probe.sequence - (first + 1)) % _MODULUS
        if probe.sequence == first:
            return stateless(TcpAnswer.SYN_ACK, probe, source=source)
        if ahead < window:
            del self._half_open[probe.ports]
            return stateless(TcpAnswer.RST_ACK, probe, source=source)
        return challenge(probe, source=source, expected=first + 1)

    def reset(self, probe: Probe) -> None:
        """Take the prober's RST, by which its kernel clears what it never asked for."""
        if self._half_open.get(probe.ports) == (probe.sequence - 1) % _MODULUS:
            del self._half_open[probe.ports]


def stateless(answer: TcpAnswer, probe: Probe, *, source: bytes) -> bytes:
    """Return the answer that needs no memory: it acknowledges this very SYN (RFC 9293, 3.5.2)."""
    flags = _FLAGS.get(answer, RST | ACK)
    if answer is TcpAnswer.ACK:
        return challenge(probe, source=source, expected=_ELSEWHERE)
    beyond = _ACKNOWLEDGED.get(answer, 1)
    acknowledged = 0 if beyond is None else probe.sequence + beyond
    return segment(probe, source=source, flags=flags, acknowledged=acknowledged)
