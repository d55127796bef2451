"""Which targets may be traced.

Only addresses can be checked here. Names are resolved by the agents, as their colo sees them, and
the agents check the result.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass

from colotrace_proto.addresses import is_one_host, is_public
from colotrace_proto.hostnames import HostNameError, IdnaRuleError, to_ascii
from colotrace_proto.identifiers import address_of
from colotrace_proto.messages import Family
from colotrace_proto.special_purpose import Address, block_of
from colotrace_proto.text import safe

# The forms that inet_aton accepts beside the dotted quad (RFC 6943, section 3.1.1): a resolver
# takes "127.1" or "0x7f000001" for an address, and asks no name server.
_LOOSE_IPV4 = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+)){0,3}\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPolicy:
    """`allow_private`: allow addresses that are not routed on the public Internet."""

    allow_private: bool = False

    def refusal(self, target: str, *, family: Family | None = None) -> str | None:
        """Why the target may not be traced, as text; None if it may. `family`: the addresses that
        are wanted."""
        address = literal(target)
        if address is None:
            return _name_refusal(target)
        if family is not None and address.version != family:
            return f"{target} is an IPv{address.version} address, and IPv{family} was asked for"
        if not is_one_host(address):
            return f"{target} is no address of a single host, so no path leads to it"
        if not self.allow_private and not is_public(address):
            block = block_of(address)
            kind = f" ({block.name}, {block.reference})" if block and not block.reachable else ""
            return (
                f"{target} is not a public address{kind}, and this coordinator traces no others; "
                "its operator can admit them with --allow-private"
            )
        return None


def _name_refusal(target: str) -> str | None:
    if target.isascii():
        return None
    try:
        to_ascii(target)
    except IdnaRuleError as error:
        return f"{safe(target)} is not a host name: {error}"
    except HostNameError:
        return None  # the API accepts no such target
    return None


def literal(target: str) -> Address | None:
    """The address that the target is; None for a name."""
    address = address_of(target)
    if address is not None or not _LOOSE_IPV4.fullmatch(target):
        return address
    try:
        return ipaddress.IPv4Address(socket.inet_aton(target.rstrip(".")))
    except OSError:
        return None
