"""A short trace towards the coordinator's host: whether probes leave, and answers come back."""

import asyncio
import ipaddress
import socket

from colotrace_proto.findings import Finding, ok, warn
from colotrace_proto.messages import MAX_REMAINING_MS, Failure, Frame, Job, JobId, PacketType
from colotrace_proto.notices import sentence

from colotrace_agent.host.resolve import Resolver
from colotrace_agent.job.shell import JobShell
from colotrace_agent.network.sockets import open_all
from colotrace_agent.policy import Policy
from colotrace_agent.prober import open_prober

from .uplink import Uplink

_MAX_TTL = 4
_WITHIN_S = 8.0
_FIREWALL = (
    "let ICMP out, and ICMP time exceeded, destination unreachable and echo reply in; see "
    "docs/probe-hosts.md"
)


def findings(uplink: Uplink) -> list[Finding]:
    """Trace to the coordinator's host, by ICMP. Call it in the thread that may send."""
    try:
        found = socket.getaddrinfo(uplink.host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return []  # the finding on the name says it
    address = str(found[0][4][0])
    return [judge(address, asyncio.run(_traced(address)))]


def judge(address: str, frame: Frame | None) -> Finding:
    """`frame` has the replies; None if the trace has not ended in time."""
    check = "short trace"
    if frame is None:
        return warn(check, f"to {address}: no end within {_WITHIN_S:g} s", _FIREWALL)
    outcome = frame.outcome
    if outcome is not None and outcome.failure is not Failure.NONE:
        cause = sentence(outcome.cause) if outcome.cause is not None else outcome.failure.name
        return warn(check, f"to {address}: {cause}", _FIREWALL)
    hops: dict[int, str] = {}
    for ttl, node in zip(frame.replies.ttl, frame.replies.node, strict=True):
        hops.setdefault(ttl, str(ipaddress.ip_address(frame.replies.nodes[node].address)))
    if not hops:
        return warn(check, f"to {address}: no router and no host answered", _FIREWALL)
    words = ", ".join(f"{ttl} {hop}" for ttl, hop in sorted(hops.items()))
    return ok(check, f"to {address}: hop {words}")


async def _traced(address: str) -> Frame | None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Frame] = loop.create_future()
    resolver = Resolver(threads=1)
    prober = open_prober(rate=None, sockets=open_all())
    try:
        JobShell(
            Job(
                job_id=JobId("check"),
                target=address,
                packet_type=PacketType("icmp"),
                max_ttl=_MAX_TTL,
                packets_per_ttl=1,
                wait_ms=1_000,
                port=0,
                flow=0,
                remaining_ms=MAX_REMAINING_MS,
            ),
            prober=prober,
            resolver=resolver,
            policy=Policy(allow_private=True, families=lambda: prober.families),
            ready=lambda _: None,
            end=ended.set_result,
        )
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await ended
        except TimeoutError:
            return None
    finally:
        prober.close()
        await resolver.close()
