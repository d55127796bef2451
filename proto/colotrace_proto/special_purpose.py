"""IANA's special-purpose address blocks, and which of them are globally reachable.

Sources, as of 2025-10:
https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry
https://www.iana.org/assignments/multicast-addresses (224.0.0.0/4)
https://www.iana.org/assignments/ipv6-address-space (2000::/3 is all of IPv6's global unicast)

`reachable` is the registries' column "Globally Reachable", except in these blocks:
- "N/A" (Teredo, 6to4, the terminated 192.88.99.0/24 and ORCHID) counts as not reachable.
  `addresses` handles IPv4 addresses embedded in IPv6 ones.
- ORCHIDv2 and drone identifiers are not routable (RFC 7343 section 4, RFC 9374), so there is no
  path to trace.
The most specific block decides.
"""

import ipaddress
from typing import NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Block(NamedTuple):
    """A block of addresses as registered: its prefix, name and reference."""

    prefix: str
    name: str
    reference: str
    reachable: bool = False


BLOCKS = (
    Block("0.0.0.0/8", '"This network"', "RFC 791"),
    Block("10.0.0.0/8", "Private-Use", "RFC 1918"),
    Block("100.64.0.0/10", "Shared Address Space", "RFC 6598"),
    Block("127.0.0.0/8", "Loopback", "RFC 1122"),
    Block("169.254.0.0/16", "Link Local", "RFC 3927"),
    Block("172.16.0.0/12", "Private-Use", "RFC 1918"),
    Block("192.0.0.0/24", "IETF Protocol Assignments", "RFC 6890"),
    Block("192.0.0.0/29", "IPv4 Service Continuity Prefix", "RFC 7335"),
    Block("192.0.0.8/32", "IPv4 dummy address", "RFC 7600"),
    Block("192.0.0.9/32", "Port Control Protocol Anycast", "RFC 7723", reachable=True),
    Block("192.0.0.10/32", "Traversal Using Relays around NAT Anycast", "RFC 8155", reachable=True),
    Block("192.0.0.170/32", "NAT64/DNS64 Discovery", "RFC 8880"),
    Block("192.0.0.171/32", "NAT64/DNS64 Discovery", "RFC 8880"),
    Block("192.0.2.0/24", "Documentation (TEST-NET-1)", "RFC 5737"),
    Block("192.31.196.0/24", "AS112-v4", "RFC 7535", reachable=True),
    Block("192.52.193.0/24", "AMT", "RFC 7450", reachable=True),
    Block("192.88.99.0/24", "Deprecated (6to4 Relay Anycast)", "RFC 7526"),
    Block("192.88.99.2/32", "6a44-relay anycast address", "RFC 6751"),
    Block("192.168.0.0/16", "Private-Use", "RFC 1918"),
    Block("192.175.48.0/24", "Direct Delegation AS112 Service", "RFC 7534", reachable=True),
    Block("198.18.0.0/15", "Benchmarking", "RFC 2544"),
    Block("198.51.100.0/24", "Documentation (TEST-NET-2)", "RFC 5737"),
    Block("203.0.113.0/24", "Documentation (TEST-NET-3)", "RFC 5737"),
    Block("224.0.0.0/4", "Multicast", "RFC 5771"),
    Block("240.0.0.0/4", "Reserved", "RFC 1112"),
    Block("255.255.255.255/32", "Limited Broadcast", "RFC 8190"),
    # All of IPv6, and the part of it that IANA assigned as global unicast.
    Block("::/0", "not global unicast", "RFC 4291"),
    Block("2000::/3", "Global Unicast", "RFC 4291", reachable=True),
    Block("::1/128", "Loopback Address", "RFC 4291"),
    Block("::/128", "Unspecified Address", "RFC 4291"),
    Block("::ffff:0:0/96", "IPv4-mapped Address", "RFC 4291"),
    Block("64:ff9b::/96", "IPv4-IPv6 Translation", "RFC 6052", reachable=True),
    Block("64:ff9b:1::/48", "IPv4-IPv6 Translation, local use", "RFC 8215"),
    Block("100::/64", "Discard-Only Address Block", "RFC 6666"),
    Block("100:0:0:1::/64", "Dummy IPv6 Prefix", "RFC 9780"),
    Block("2001::/23", "IETF Protocol Assignments", "RFC 2928"),
    Block("2001::/32", "TEREDO", "RFC 4380"),
    Block("2001:1::1/128", "Port Control Protocol Anycast", "RFC 7723", reachable=True),
    Block("2001:1::2/128", "Traversal Using Relays around NAT Anycast", "RFC 8155", reachable=True),
    Block("2001:1::3/128", "DNS-SD Service Registration Anycast", "RFC 9665", reachable=True),
    Block("2001:2::/48", "Benchmarking", "RFC 5180"),
    Block("2001:3::/32", "AMT", "RFC 7450", reachable=True),
    Block("2001:4:112::/48", "AS112-v6", "RFC 7535", reachable=True),
    Block("2001:10::/28", "Deprecated (ORCHID)", "RFC 4843"),
    Block("2001:20::/28", "ORCHIDv2", "RFC 7343"),
    Block("2001:30::/28", "Drone Remote ID Protocol Entity Tags", "RFC 9374"),
    Block("2001:db8::/32", "Documentation", "RFC 3849"),
    Block("2002::/16", "6to4", "RFC 3056"),
    Block("2620:4f:8000::/48", "Direct Delegation AS112 Service", "RFC 7534", reachable=True),
    Block("3fff::/20", "Documentation", "RFC 9637"),
    Block("5f00::/16", "Segment Routing (SRv6) SIDs", "RFC 9602"),
    Block("fc00::/7", "Unique-Local", "RFC 4193"),
    Block("fe80::/10", "Link-Local Unicast", "RFC 4291"),
    Block("ff00::/8", "Multicast", "RFC 4291"),
)


_NETWORKS = [(ipaddress.ip_network(block.prefix), block) for block in BLOCKS]
_NETWORKS.sort(key=lambda entry: -entry[0].prefixlen)  # the most specific first
# A block has the addresses for which `address & mask == network`.
_ENTRIES = {
    version: [
        (int(network.netmask), int(network.network_address), block)
        for network, block in _NETWORKS
        if network.version == version
    ]
    for version in (4, 6)
}


def block_of(address: Address) -> Block | None:
    """The most specific block with the address; None if it is in none."""
    number = int(address)
    for mask, network, block in _ENTRIES[address.version]:
        if number & mask == network:
            return block
    return None


def is_reachable(address: Address) -> bool:
    """Whether the address is in no block, or in a globally reachable one."""
    block = block_of(address)
    return block is None or block.reachable
