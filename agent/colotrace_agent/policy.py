"""Which addresses this agent traces: its owner's word, whoever asks."""

import ipaddress

from colotrace_proto.addresses import is_one_host, is_public


def refusal(address: bytes, *, allow_private: bool) -> str | None:
    """Why the agent does not trace that address; None where it does.

    Multicast, unspecified and broadcast addresses are never traced; what is not reachable
    through the public internet (RFC 6890) only where the owner allows it.
    """
    ip = ipaddress.ip_address(address)
    if not is_one_host(ip):
        return f"{ip} is not the address of one host"
    if not allow_private and not is_public(ip):
        return f"{ip} is not a public address, and this agent runs without --allow-private"
    return None
