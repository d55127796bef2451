"""The closed sets of words that a scenario file may use."""

from enum import StrEnum


class Protocol(StrEnum):
    """What a probe is carried by."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"
    GRE = "gre"


class ProbeType(StrEnum):
    """What is asked of a tracer, in the API's words."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"
    GRE = "gre"
    GRE_ICMP = "gre+icmp"

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """What the probes of such a trace are carried by."""
        return tuple(Protocol(word) for word in self.split("+"))


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
    BEYOND_SCOPE = "beyond-scope"
    UNKNOWN_CODE = "unknown-code"


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
    Error.UNKNOWN_CODE: (3, 99),
}
# RFC 4443; what a family has no word for does not exist in it.
ICMP6: dict[Error, tuple[int, int]] = {
    Error.TIME_EXCEEDED: (3, 0),
    Error.NET_UNREACHABLE: (1, 0),
    Error.HOST_UNREACHABLE: (1, 3),
    Error.PROTOCOL_UNREACHABLE: (4, 1),
    Error.PORT_UNREACHABLE: (1, 4),
    Error.FRAGMENTATION_NEEDED: (2, 0),
    Error.ADMIN_PROHIBITED: (1, 1),
    Error.BEYOND_SCOPE: (1, 2),
    Error.UNKNOWN_CODE: (1, 99),
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
    # The SYN's own number is acknowledged; or one beyond data that the SYN did not have.
    SYN_ACK_OWN = "syn-ack-own"
    RST_ACK_OWN = "rst-ack-own"
    RST_ACK_BEYOND = "rst-ack-beyond"
    # A reset with the ACK flag that acknowledges 0.
    RST_ACK_ZERO = "rst-ack-zero"
    # As a Linux listener does it, state and all: see `tcp.Listener`.
    KERNEL = "kernel"
    # A SYN-ACK for the first SYN of a four-tuple, a challenge about that one for every other.
    CHALLENGE = "challenge"
    # A challenge for each: another connection lives on the four-tuple (RFC 5961 section 4).
    ACK = "ack"
    SILENT = "silent"
    PORT_UNREACHABLE = "port-unreachable"
    ADMIN_PROHIBITED = "admin-prohibited"


class GreAnswer(StrEnum):
    """What a target does with a GRE packet that holds an echo request."""

    PROTOCOL_UNREACHABLE = "protocol-unreachable"
    ADMIN_PROHIBITED = "admin-prohibited"
    # It unpacks the request: the echo reply comes as it is, or in a GRE packet with the same key.
    REPLY = "reply"
    REPLY_IN_GRE = "reply-in-gre"
    SILENT = "silent"


class Balance(StrEnum):
    """How a router spreads packets over equal paths."""

    FLOW = "flow"
    PACKET = "packet"


class ExtensionHeader(StrEnum):
    """An IPv6 extension header that a quoted packet has gained on its way (RFC 8200 section 4)."""

    HOP_BY_HOP = "hop-by-hop"
    ROUTING = "routing"
    # Of an unfragmented packet (RFC 6946), as translators from IPv4 add it.
    FRAGMENT = "fragment"
    AUTHENTICATION = "authentication"
    DESTINATION = "destination"


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
    # What the probe was sent to has another address behind the translator (DNAT).
    DESTINATION = "destination"
    DESTINATION_AND_PORT = "destination-and-port"
    # Both ends have other addresses, and the source another port or identifier.
    BOTH = "both"
    # The translator has put the address back, but not the port or identifier.
    PORT_ALONE = "port-alone"


class Forgery(StrEnum):
    """What is wrong about a reply that answers no probe of ours."""

    # Another flow's probe: another identifier or source port.
    FLOW = "flow"
    # Our flow, but a probe that was never sent.
    PROBE = "probe"
    # A probe of another trace, to somebody else.
    DESTINATION = "destination"
    # A probe of ours, but for one thing: the IP ID; the sequence or what stands for it; the tag
    # in the payload.
    IP_ID = "ip-id"
    NUMBER = "number"
    TAG = "tag"


class Decrement(StrEnum):
    """What a router does to the TTL of what it forwards."""

    ONE = "one"
    # Nothing: it is nowhere on the traced path.
    NONE = "none"
    # It forwards what should have expired at it, with TTL 0: the next router is seen twice.
    TO_ZERO = "to-zero"


class InterfaceRole(StrEnum):
    """Which interface of the router RFC 5837's object tells of, in the order of its codes."""

    INCOMING = "incoming"
    COMPONENT = "component"
    OUTGOING = "outgoing"
    NEXT_HOP = "next-hop"


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
