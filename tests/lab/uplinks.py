"""Gives den01's host a second way out: an interface `up2` to den02's first router, `den2`.

It then has two addresses, its own and den02's (whose host is left without), and the routers of
the lab know their ways back to both. To be used in a lab of one's own.
"""

from __future__ import annotations

import subprocess

from lab import namespaces
from lab.network import Lab
from lab.topology import FAMILIES, Family, address_of

HOST, ROUTER, OTHER = "den01", "den2", "den02"
DEVICE = "up2"
_MACS = ("02:00:00:00:ff:01", "02:00:00:00:ff:02")
_LINK_LOCAL = ("fe80::ff:1", "fe80::ff:2")


def add_second(lab: Lab) -> None:
    """Makes the link and the address; no route of the host leads there yet."""
    host, router = lab.namespace(HOST), lab.namespace(ROUTER)
    pair = (
        f"link add {DEVICE} netns {host} address {_MACS[0]} type veth "
        f"peer name to-{HOST} netns {router} address {_MACS[1]}"
    )
    namespaces.batch([pair])
    lines = {
        host: _ends(DEVICE, 0, 1, address_of(ROUTER, family=4)),
        router: _ends(f"to-{HOST}", 1, 0, address_of(OTHER, family=4)),
    }
    for family in FAMILIES:
        address, own = address_of(OTHER, family=family), address_of(ROUTER, family=family)
        length, flags = (32, "") if family == 4 else (128, "nodad")
        lines[host].append(f"address add {address}/{length} dev {DEVICE} {flags}")
        via = "" if family == 4 else f"via {_LINK_LOCAL[0]}"
        lines[router].append(f"route replace {address} {via} dev to-{HOST} src {own}")
    namespaces.in_each(lines, lambda space: namespaces.batch(lines[space]))


def default(*, family: Family, more: str = "") -> str:
    """The arguments of `ip route add` for a default route by the second way."""
    own = address_of(OTHER, family=family)
    if family == 4:
        gateway = f"{address_of(ROUTER, family=4)} dev {DEVICE} onlink"
    else:
        gateway = f"{_LINK_LOCAL[1]} dev {DEVICE}"
    return f"{'0.0.0.0/0' if family == 4 else '::/0'} via {gateway} src {own} {more}"


def ip(lab: Lab, host: str, *lines: str, family: Family | None = None) -> None:
    """Has ip(8) do every line on a host."""
    argv = ["ip", *([f"-{family}"] if family else []), "-batch", "-"]
    done = subprocess.run(
        lab.command(host, argv),
        env=lab.environment(),
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _ends(device: str, own: int, peer: int, peer_address: str) -> list[str]:
    return [
        f"link set {device} up",
        f"address add {_LINK_LOCAL[own]}/64 dev {device} scope link nodad",
        f"neigh add {_LINK_LOCAL[peer]} lladdr {_MACS[peer]} dev {device} nud permanent",
        f"neigh add {peer_address} lladdr {_MACS[peer]} dev {device} nud permanent",
    ]
