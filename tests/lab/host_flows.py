"""By which first hop flows leave a host: an agent's probes, and ordinary sockets.

A program, to be run on the host; prints one line of JSON, a list of {port, source, first}:

    host_flows.py probes TYPE PORT TARGET NUMBER       so many flows of the agent's own choice
    host_flows.py sockets TYPE PORT TARGET SPORT…      sockets bound to these source ports
    host_flows.py again TYPE PORT TARGET LINE          ip(8) does LINE after the first answer
"""

import asyncio
import ipaddress
import json
import select
import shlex
import socket
import struct
import subprocess
import sys

from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import TraceSpec
from colotrace_agent.prober import Prober, open_prober
from colotrace_proto.messages import PacketType

_PATIENCE_S = 5.0
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_OFFENDER_AT = {socket.AF_INET: (20, 24), socket.AF_INET6: (24, 40)}
# More probes than leave at once, the last two rounds at this rate.
_SLOWLY, _SHORT_S = 200.0, 1.0


def _told(port: int, source: bytes | str, first: list[str]) -> dict[str, object]:
    return {"port": port, "source": str(ipaddress.ip_address(source)), "first": first}


def _of(trace: Trace) -> dict[str, object]:
    first = {str(ipaddress.ip_address(reply.address)) for reply in trace.replies if reply.ttl == 1}
    return _told(trace.flow.identifier, trace.flow.source, sorted(first))


async def _traced(prober: Prober, specs: list[TraceSpec], line: str) -> list[Trace]:
    loop = asyncio.get_running_loop()
    ended: list[asyncio.Future[Trace]] = []
    done = False

    def start(spec: TraceSpec) -> None:
        future: asyncio.Future[Trace] = loop.create_future()

        def changed(trace: Trace) -> None:
            nonlocal done
            if line and trace.replies and not done:
                done = True
                subprocess.run(["ip", *shlex.split(line)], check=True)
            if trace.ended is not None:
                future.set_result(trace)

        prober.start(spec, changed)
        ended.append(future)

    for spec in specs:
        start(spec)
    return await asyncio.gather(*ended)


async def probes(kind: str, port: int, target: str, *, flows: int, line: str = "") -> None:
    """Traces of one hop."""
    prober = open_prober(rate=_SLOWLY if line else 2_000)
    specs = [
        TraceSpec(
            ipaddress.ip_address(target).packed,
            PacketType(kind),
            max_ttl=64 if line else 1,
            packets_per_ttl=10 if line else 1,
            wait_ns=int((_SHORT_S if line else _PATIENCE_S) * 1e9),
            port=port,
            flow=flow,
            rounds=bool(line),
        )
        for flow in range(flows)
    ]
    try:
        traces = await _traced(prober, specs, line)
    finally:
        prober.close()
    print(json.dumps([_of(trace) for trace in traces]))


def sockets(kind: str, port: int, target: str, sports: list[int]) -> None:
    """One packet each, whose TTL expires at the first hop, which the error queue then names."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    print(json.dumps([_first_hop(family, kind, (target, port), sport) for sport in sports]))


def _first_hop(
    family: socket.AddressFamily, kind: str, to: tuple[str, int], sport: int
) -> dict[str, object]:
    datagrams = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(family, datagrams) as sock:
        sock.setblocking(False)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        sock.bind(("", sport))
        sock.connect_ex(to)
        source = sock.getsockname()[0]
        if kind == "udp":
            sock.send(b"")
        poll = select.poll()
        poll.register(sock, select.POLLERR)
        if not poll.poll(_PATIENCE_S * 1e3):
            return _told(sport, source, [])
        _, ancillary, _, _ = sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
        (data,) = (data for _, of, data in ancillary if of in (_IP_RECVERR, _IPV6_RECVERR))
        begin, end = _OFFENDER_AT[family]
        if struct.unpack_from("=H", data, 16)[0] != family:
            return _told(sport, source, [])
        return _told(sport, source, [str(ipaddress.ip_address(data[begin:end]))])


def main() -> None:
    """By the command line: mode, kind, port, target, and what the mode takes."""
    _, mode, kind, port, target, *more = sys.argv
    if mode == "sockets":
        sockets(kind, int(port), target, [int(each) for each in more])
    elif mode == "again":
        asyncio.run(probes(kind, int(port), target, flows=1, line=more[0]))
    else:
        asyncio.run(probes(kind, int(port), target, flows=int(more[0])))
