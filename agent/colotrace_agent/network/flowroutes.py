"""Next hop and source address of a flow, by the host's routing (ADR 13).

A raw socket with own IP headers is routed by the destination alone: as protocol 255, without ports
(raw(7)). With rules by protocol, port or source address, or with equal-cost routes, a probe may
then take another route than ordinary traffic. On such hosts the route of each flow is looked up in
the kernel with its protocol and ports (RTM_GETROUTE). The probe is sent to the gateway's address on
the route's interface, while its IP header keeps the target. The kernel supports this
(FLOWI_FLAG_KNOWN_NH), and the host's firewall sees the packets as usual.

The kernel routes connected IPv4 sockets twice, the second time with the source address that the
first look-up found (ip_route_connect), and IPv6 sockets once. This module does the same for flows.

Limits. Linux hashes ICMPv4 echoes with their type, which RTM_GETROUTE ignores: with several
equal-cost next hops, an echo request may use another one than ping. The kernel has no look-up for
GRE, see `_stand_in`. IPsec policies see the gateway as the destination.
"""

import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import family_of
from colotrace_agent.packets.formats import FORMATS

from . import clock
from .route import link_local_error
from .rtnetlink import (
    FAMILIES,
    GET_ROUTE,
    ROUTE,
    Changes,
    Kernel,
    Route,
    attribute,
    attributes,
    dump,
    route_question,
)
from .support import kernel_takes_protocols

# linux/rtnetlink.h, linux/fib_rules.h
_GET_RULE = 34
_INTERFACE, _MULTIPATH, _PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT, _NEXT_HOP_ID = (
    4,
    9,
    27,
    28,
    29,
    30,
)
_UNICAST = 1
_FIB_MATCH = 0x2000
_RULE_PROTOCOL, _RULE_PORTS = 22, frozenset({23, 24, 28, 29})
_GROUPS = (1, 5, 7, 8, 9, 11, 19, 32)
"""RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE, NEXTHOP.
For IPv4, the removal of routes together with a link or an address is not announced separately."""

_RULE = struct.Struct("=BBBBBBBBI")  # struct fib_rule_hdr; the third byte is the source's length
_SOURCE_LENGTH_AT = 2
_SHORT, _INT = struct.Struct("!H"), struct.Struct("=i")

# A host with more routes uses BGP, probably with equal-cost routes; inspecting all takes too long.
_MOST_ROUTES, _MOST_RULES = 1_000, 1_000
_MOST_KNOWN_HOPS = 256
# Shortest intervals of checking the subscription, and of inspecting routes and rules.
_LOOK_NS, _SURVEY_NS = 10_000_000, 1_000_000_000

_ICMP = {Family.IPV4: socket.IPPROTO_ICMP, Family.IPV6: socket.IPPROTO_ICMPV6}
# The kernel has ICMP type and code in the place of the destination port (struct flowi_uli).
_ECHO_PORT = {Family.IPV4: 0x0800, Family.IPV6: 0x8000}


class NextHop(NamedTuple):
    """Where to send packets: the address of the gateway, or of the target without a gateway.

    `interface` is an index, or 0 to let the kernel choose. `protocol` is used for routing, 0 if the
    kernel cannot be told. `is_usual` is false if probes may take another next hop than ordinary
    traffic of the flow.
    """

    address: bytes
    interface: int
    protocol: int
    is_usual: bool = True


class FlowRoute(NamedTuple):
    """The source address of a flow, and its next hop."""

    source: bytes
    hop: NextHop


class FlowFields(NamedTuple):
    """The fields that a host's routing may depend on. `identifier` is that of `Flow`; an empty
    `source` is chosen by routing."""

    packet_type: PacketType
    target: bytes
    identifier: int
    port: int
    source: bytes = b""


class _Survey(NamedTuple):
    """Which fields the rules and routes of a family depend on: any besides the destination;
    protocols named by rules; ports."""

    by_flow: bool
    protocols: frozenset[int] = frozenset()
    ports: bool = False


class FlowRoutes:
    """Looks up the routes of flows. They are valid while `epoch`, a count of changes, is the same;
    `by_flow` updates it."""

    def __init__(self) -> None:
        self.epoch = 0
        try:
            self._changes: Changes | None = Changes(_GROUPS)
            self._kernel: Kernel | None = Kernel()
        except OSError:  # without rtnetlink, probes are routed by their destination
            self._changes = self._kernel = None
        self._look_at = 0
        self._surveys: dict[Family, tuple[int, int, _Survey]] = {}
        self._known_hops: dict[tuple[NextHop, bytes], bool] = {}

    def _look(self) -> None:
        """Update `epoch`; a change is noticed within 10 ms."""
        now = clock.now()
        if self._changes is None or now < self._look_at:
            return
        self._look_at = now + _LOOK_NS
        if self._changes.seen():
            self.epoch += 1
            self._known_hops.clear()

    def by_flow(self, family: Family) -> bool:
        """Whether the routes of a family depend on more than the destination."""
        return self._survey(family).by_flow

    def look_up(self, flows: Sequence[FlowFields]) -> list[FlowRoute | OSError]:
        """The routes of flows of one packet type and family; an error for each flow without one."""
        if self._kernel is None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        family = family_of(flows[0].target)
        fields = _Fields(flows[0].packet_type, family, self._survey(family))
        found: list[FlowRoute | OSError] = [
            link_local_error(flow.target) or FlowRoute(flow.source, fields.any_hop(flow.target))
            for flow in flows
        ]
        asked = {at: flow for at, flow in enumerate(flows) if isinstance(found[at], FlowRoute)}
        while asked:
            questions = [fields.question(flow) for flow in asked.values()]
            again: dict[int, FlowFields] = {}
            answers = self._kernel.ask_all(GET_ROUTE, questions)
            for (at, flow), answer in zip(asked.items(), answers, strict=True):
                if isinstance(answer, OSError):
                    found[at] = answer
                    continue
                route = Route.of(answer)
                source = flow.source or route.source
                if not source:
                    found[at] = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
                elif family is Family.IPV4 and not flow.source:
                    again[at] = flow._replace(source=source)
                else:
                    found[at] = FlowRoute(source, self._hop(route, flow.target, fields))
            asked = again
        return found

    def close(self) -> None:
        """Closes the sockets."""
        for each in (self._changes, self._kernel):
            if each is not None:
                each.close()

    def _hop(self, route: Route, target: bytes, fields: "_Fields") -> NextHop:
        hop = fields.any_hop(target)
        if route.kind != _UNICAST:  # to the host itself
            return hop
        # For a gateway of the other family only the interface can be given.
        address = target if route.via else route.gateway or target
        named = hop._replace(address=address, interface=route.interface)
        return named if self._leads(named, route.via, fields) else hop._replace(is_usual=False)

    def _leads(self, hop: NextHop, via: bytes, fields: "_Fields") -> bool:
        """Whether the kernel sends packets addressed to the hop to that hop (cached)."""
        known = self._known_hops.get((hop, via))
        if known is not None:
            return known
        assert self._kernel is not None  # noqa: S101 - `look_up` has checked
        answers = self._kernel.ask_all(GET_ROUTE, fields.questions_of_hop(hop))
        routes = [Route.of(each) for each in answers if not isinstance(each, OSError)]
        leads = (
            len(routes) == len(answers)
            and (routes[0].interface, routes[0].via) == (hop.interface, via)
            and routes[0].gateway in (b"", hop.address)
        )
        if len(self._known_hops) >= _MOST_KNOWN_HOPS:
            self._known_hops.clear()
        self._known_hops[hop, via] = leads
        return leads

    def _survey(self, family: Family) -> _Survey:
        if self._kernel is None:
            return _Survey(by_flow=False)
        self._look()
        now = clock.now()
        epoch, until, survey = self._surveys.get(family, (-1, 0, _Survey(by_flow=False)))
        if epoch == self.epoch:
            return survey
        if now < until:  # frequent changes: look up every flow instead
            return survey._replace(by_flow=True)
        survey = _survey(family)
        self._surveys[family] = self.epoch, now + _SURVEY_NS, survey
        return survey


class _Fields:
    """Builds look-ups for flows of one packet type and family."""

    def __init__(self, packet_type: PacketType, family: Family, survey: _Survey) -> None:
        self._family = family
        kind = FORMATS[packet_type]
        asked = protocol = kind.protocols[family]
        self._ports = kind.ports is not None
        self._tcp = protocol == socket.IPPROTO_TCP
        self._gre_ports = self._gre_named = False
        stand_in = _stand_in(family, survey)
        if protocol == socket.IPPROTO_GRE:
            # The kernel's GRE tunnels have the key in the place of the ports (struct flowi_uli), so
            # that keys are distributed over equal-cost routes.
            self._gre_ports = stand_in == socket.IPPROTO_TCP and not survey.ports
            self._gre_named = socket.IPPROTO_GRE in survey.protocols
            asked = stand_in
        self._told = 0
        """The protocol by which the probes will be routed."""
        if kernel_takes_protocols() and not self._gre_named:
            self._told = protocol
        self._fixed = attribute(_PROTOCOL, bytes([asked]))
        self._of_hop = attribute(_PROTOCOL, bytes([asked if self._told else stand_in]))
        if protocol == _ICMP[family]:
            self._fixed += attribute(_DESTINATION_PORT, _SHORT.pack(_ECHO_PORT[family]))

    def any_hop(self, target: bytes) -> NextHop:
        """The hop of a probe that the kernel routes by itself."""
        return NextHop(target, 0, self._told, is_usual=not self._gre_named)

    def questions_of_hop(self, hop: NextHop) -> list[bytes]:
        """Look-ups of the route of packets addressed to a hop, without ports."""
        fields = self._of_hop + attribute(_INTERFACE, _INT.pack(hop.interface))
        questions = [route_question(hop.address) + fields]
        if self._family is Family.IPV4:
            # If no route uses the interface, the kernel assumes that the target is on its link, and
            # would send the packet to the address in its header.
            questions.append(route_question(hop.address, flags=_FIB_MATCH) + fields)
        return questions

    def question(self, flow: FlowFields) -> bytes:
        """The look-up for a flow. A TCP socket has no port while its IPv4 source is looked up."""
        question = route_question(flow.target, source=flow.source) + self._fixed
        if self._gre_ports:
            question += attribute(_SOURCE_PORT, _SHORT.pack(flow.identifier & 0xFFFF))
            question += attribute(_DESTINATION_PORT, _SHORT.pack(flow.identifier >> 16))
        elif self._ports:
            if flow.source or not self._tcp or self._family is Family.IPV6:
                question += attribute(_SOURCE_PORT, _SHORT.pack(flow.identifier))
            question += attribute(_DESTINATION_PORT, _SHORT.pack(flow.port))
        return question


def _stand_in(family: Family, survey: _Survey) -> int:
    """A protocol for look-ups in place of one that RTM_GETROUTE does not accept; if possible, one
    that no rule names."""
    choices = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, _ICMP[family])
    return next((each for each in choices if each not in survey.protocols), choices[0])


def _survey(family: Family) -> _Survey:
    """Inspect the rules and, if these do not decide, the routes."""
    number = FAMILIES[family]
    try:
        rules = dump(_GET_RULE, _RULE.pack(number, *[0] * 8), most=_MOST_RULES)
    except OSError:
        return _Survey(by_flow=False)
    if rules is None:
        return _Survey(by_flow=True, ports=True)
    kinds = [(kind, value) for rule in rules for kind, value in attributes(rule[_RULE.size :])]
    protocols = frozenset(value[0] for kind, value in kinds if kind == _RULE_PROTOCOL)
    ports = any(kind in _RULE_PORTS for kind, _ in kinds)
    sources = any(rule[_SOURCE_LENGTH_AT] for rule in rules)
    return _Survey(
        bool(protocols) or ports or sources or _has_equal_routes(number), protocols, ports
    )


def _has_equal_routes(number: int) -> bool:
    try:
        routes = dump(GET_ROUTE, ROUTE.pack(number, *[0] * 8), most=_MOST_ROUTES)
    except OSError:
        return False
    return routes is None or any(
        kind in (_MULTIPATH, _NEXT_HOP_ID)
        for route in routes
        for kind, _ in attributes(route[ROUTE.size :])
    )
