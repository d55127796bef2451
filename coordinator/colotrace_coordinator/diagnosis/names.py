"""Whether the names by which the coordinator is reached lead to it."""

import socket
from collections.abc import Iterable, Sequence

from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.identifiers import address_of

from .listeners import is_own_address


def findings(names: Sequence[str]) -> list[Finding]:
    """Looks up each name."""
    return [judge(name, _addresses(name), first=name == names[0]) for name in names]


def judge(name: str, addresses: "Iterable[str] | str", *, first: bool) -> Finding:
    """`addresses` of the name, or why there are none. Agents use the `first` name."""
    check = f"name {name}"
    if isinstance(addresses, str):
        return fail(
            check,
            f"does not resolve on this host: {addresses}",
            "add it to the DNS or to /etc/hosts, here and on probe hosts; or give another --name",
        )
    addresses = sorted(addresses)
    others = [each for each in addresses if not is_own_address(each)]
    if others:
        return warn(
            check,
            f"leads to {', '.join(others)}, which this host does not have",
            "correct its DNS record; fine if that is a load balancer, or translates addresses",
        )
    if first and all(each.startswith("127.") or each == "::1" for each in addresses):
        return warn(
            check,
            f"leads to {', '.join(addresses)}: other hosts cannot reach this coordinator by it",
            "give --name a name or address that leads here from probe hosts",
        )
    if first and not address_of(name) and "." not in name:
        return warn(
            check,
            f"leads to {', '.join(addresses)} here, but other networks do not know such a name",
            "give --name a name with its domain, or an address",
        )
    return ok(check, f"leads to this host: {', '.join(addresses)}")


def _addresses(name: str) -> set[str] | str:
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        return error.strerror or str(error)
    return {str(where[0]) for *_, where in found}
