"""Where probes go: to their targets, or to the next hops of their flows.

As `network.wire` does it for one flow: only where the host routes by more than the target.
"""

from typing import NamedTuple

import numpy as np

from colotrace_agent.network.flowroutes import FlowFields, FlowRoute, FlowRoutes, NextHop

from .arrays import Bytes, Lines
from .batch_sockets import Routing
from .columns import Columns
from .flows import Flows


class Leaving(NamedTuple):
    """What packets are addressed to, one a row, and what they are routed by beside that."""

    addresses: Bytes
    routing: Routing | None


class Departing:
    """The next hops of the lines of one store."""

    def __init__(self, columns: Columns, routes: FlowRoutes) -> None:
        self._columns = columns
        self._routes = routes
        self._addresses: Bytes = np.zeros(columns.targets.shape, np.uint8)
        self._interfaces = np.zeros(len(columns.targets), np.int32)
        self._protocols = np.zeros(len(columns.targets), np.int32)
        # As of which of the routing's epochs; -1 for never.
        self._epochs = np.full(len(columns.targets), -1, np.int64)

    def begin(self, lines: Lines) -> None:
        """Other flows have these lines from now on."""
        self._epochs[lines] = -1

    def leaving(self, lines: Lines) -> Leaving:
        """For probes of these lines."""
        columns = self._columns
        if not self._routes.by_flow(columns.family):
            return Leaving(columns.targets[lines], None)
        epoch = self._routes.epoch
        stale = np.array(sorted(set(lines[self._epochs[lines] != epoch].tolist())), np.intp)
        if len(stale):
            self._look_up(stale, epoch)
        routing = Routing(self._interfaces[lines], self._protocols[lines])
        return Leaving(self._addresses[lines], routing)

    def hop(self, line: int) -> NextHop | None:
        """The next hop of one line; None where the target alone decides about it."""
        interface = int(self._interfaces[line])
        if self._epochs[line] < 0 or not interface:
            return None
        return NextHop(self._addresses[line].tobytes(), interface, int(self._protocols[line]))

    def _look_up(self, lines: Lines, epoch: int) -> None:
        self._addresses[lines] = self._columns.targets[lines]
        self._interfaces[lines] = self._protocols[lines] = 0
        self._epochs[lines] = epoch
        fields = [
            FlowFields(flow.packet_type, flow.target, flow.identifier, flow.port, flow.source)
            for flow in map(self._columns.flow, lines.tolist())
        ]
        try:
            routes = self._routes.look_up(fields)
        except OSError:
            return  # the kernel chooses the routes
        for line, route in zip(lines.tolist(), routes, strict=True):
            if isinstance(route, FlowRoute):
                hop = route.hop
                self._addresses[line] = np.frombuffer(hop.address, np.uint8)
                self._interfaces[line], self._protocols[line] = hop.interface, hop.protocol
                if not hop.is_usual:
                    self._columns.aside(line).caveats.detour = True


def sources_of(flows: Flows, host_routes: FlowRoutes) -> tuple[Flows, dict[int, OSError]]:
    """The flows with the source addresses of their routes, and the errors of flows without a route,
    by row."""
    fields = [
        FlowFields(flows.packet_type, target.tobytes(), identifier, flows.port)
        for target, identifier in zip(flows.targets, flows.identifiers.tolist(), strict=True)
    ]
    try:
        routes = host_routes.look_up(fields)
    except OSError as error:
        return flows, dict.fromkeys(range(len(fields)), error)
    sources, failed = flows.sources.copy(), {}
    for row, route in enumerate(routes):
        if isinstance(route, OSError):
            failed[row] = route
        else:
            sources[row] = np.frombuffer(route.source, np.uint8)
    return flows._replace(sources=sources), failed
