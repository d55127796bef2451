"""The closed sets of words that a scenario file may use."""

from enum import StrEnum


class Protocol(StrEnum):
    """What a probe is carried by."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"


class Error(StrEnum):
    """An ICMP error about a probe, by one name for both families."""

    TIME_EXCEEDED = "time-exceeded"
    NET_UNREACHABLE = "net-unreachable"
    HOST_UNREACHABLE = "host-unreachable"
    PROTOCOL_UNREACHABLE = "protocol-unreachable"
    PORT_UNREACHABLE = "port-unreachable"
    FRAGMENTATION_NEEDED = "fragmentation-needed"
    SOURCE_ROUTE_FAILED = "source-route-failed"
    ADMIN_PROHIBITED = "admin-prohibited"
    PRECEDENCE_VIOLATION = "precedence-violation"
    PRECEDENCE_CUTOFF = "precedence-cutoff"


# (type, code) on the wire: RFC 792, RFC 1812 section 5.2.7.1.
ICMP4: dict[Error, tuple[int, int]] = {
    Error.TIME_EXCEEDED: (11, 0),
    Error.NET_UNREACHABLE: (3, 0),
    Error.HOST_UNREACHABLE: (3, 1),
    Error.PROTOCOL_UNREACHABLE: (3, 2),
    Error.PORT_UNREACHABLE: (3, 3),
    Error.FRAGMENTATION_NEEDED: (3, 4),
    Error.SOURCE_ROUTE_FAILED: (3, 5),
    Error.ADMIN_PROHIBITED: (3, 13),
    Error.PRECEDENCE_VIOLATION: (3, 14),
    Error.PRECEDENCE_CUTOFF: (3, 15),
}
# RFC 4443; what it has no word for does not exist in IPv6.
ICMP6: dict[Error, tuple[int, int]] = {
    Error.TIME_EXCEEDED: (3, 0),
    Error.NET_UNREACHABLE: (1, 0),
    Error.HOST_UNREACHABLE: (1, 3),
    Error.PROTOCOL_UNREACHABLE: (4, 1),
    Error.PORT_UNREACHABLE: (1, 4),
    Error.FRAGMENTATION_NEEDED: (2, 0),
    Error.ADMIN_PROHIBITED: (1, 1),
}


class Answer(StrEnum):
    """What a target does with an echo request or a datagram."""

    REPLY = "reply"
    SILENT = "silent"
    NET_UNREACHABLE = "net-unreachable"
    HOST_UNREACHABLE = "host-unreachable"
    PROTOCOL_UNREACHABLE = "protocol-unreachable"
    PORT_UNREACHABLE = "port-unreachable"
    ADMIN_PROHIBITED = "admin-prohibited"


class TcpAnswer(StrEnum):
    """What a target does with a SYN to one port."""

    SYN_ACK = "syn-ack"
    RST_ACK = "rst-ack"
    # A reset without the ACK flag: some firewalls still fill in the number, some leave it 0.
    RST = "rst"
    RST_BARE = "rst-bare"
    # As a Linux listener does it, state and all: see `tcp.Listener`.
    KERNEL = "kernel"
    SILENT = "silent"
    PORT_UNREACHABLE = "port-unreachable"
    ADMIN_PROHIBITED = "admin-prohibited"


class Balance(StrEnum):
    """How a router spreads packets over equal paths."""

    FLOW = "flow"
    PACKET = "packet"


class QuotedId(StrEnum):
    """What a router makes of the IP ID in its quote."""

    SAME = "same"
    ZERO = "zero"
    SWAPPED = "swapped"
    PLUS_ONE = "plus-one"
    MINUS_ONE = "minus-one"


class QuotedChecksum(StrEnum):
    """What the transport checksum in the quote looks like."""

    SAME = "same"
    ZERO = "zero"
    WRONG = "wrong"


class Nat(StrEnum):
    """What an address translator before the router left rewritten in its quote."""

    NONE = "none"
    SOURCE = "source"
    SOURCE_AND_PORT = "source-and-port"


class Forgery(StrEnum):
    """What is wrong about a reply that answers no probe of ours."""

    # Another flow's: identifier, source port.
    FLOW = "flow"
    # Our flow, but a probe that was never sent.
    PROBE = "probe"
    # Our fields, but sent to somebody else.
    DESTINATION = "destination"


class RefusedPackets(StrEnum):
    """Which packets a refusing router refuses."""

    # Every one that reaches it: the route lookup comes before the TTL check.
    ALL = "all"
    # Only those it would forward: one that expires here still gets its time exceeded.
    PASSING = "passing"
    # Only those that expire here: a filter on the TTL.
    EXPIRING = "expiring"


class LimitScope(StrEnum):
    """Which answers a rate limit counts."""

    ERRORS = "errors"
    ALL = "all"
