"""What there is to say of a trace beside its row: whose fault is it that something is missing."""

from .trace import Trace


def notices(trace: Trace) -> tuple[str, ...]:
    """Sentences for the answer's messages; none where all is as it should be."""
    said = (_limiters(trace), _datagrams(trace), *_own_faults(trace))
    return tuple(sentence for sentence in said if sentence)


def _limiters(trace: Trace) -> str:
    """Hops that answered some probes and not others, while a hop beyond them answered all.

    What is lost on the way is lost to every hop beyond, too: so these limit what they send.
    """
    whole = [ttl for ttl in trace.hops() if 0 < trace.sent[ttl - 1] == trace.answers(ttl)]
    partly = [ttl for ttl in trace.hops() if 0 < trace.answers(ttl) < trace.sent[ttl - 1]]
    limiting = [ttl for ttl in partly if ttl < max(whole, default=0)]
    if not limiting:
        return ""
    hops = ", ".join(map(str, limiting))
    return f"hop {hops}: probably limits the rate of its answers, since hops beyond it lost nothing"


def _datagrams(trace: Trace) -> str:
    if not trace.datagrams or trace.reached:
        return ""
    return (
        f"the target sent {trace.datagrams} datagrams that name no probe: it is reached, at a TTL "
        "that they do not tell"
    )


def _own_faults(trace: Trace) -> tuple[str, ...]:
    return (
        f"this host had no room for {trace.overflows} packets that came in: some of what counts as "
        "lost may have been answered"
        if trace.overflows
        else "",
        f"this host did not stamp the departure of {trace.unstamped} probes: their times are less "
        "exact"
        if trace.unstamped
        else "",
        "this host's wall clock was set meanwhile: some times are by another clock, and less exact"
        if trace.clock_stepped
        else "",
    )
