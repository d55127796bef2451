"""The management network: how agents reach their coordinator, and everyone the DNS server.

It is no part of the traced network, as in real life: a bridge in a namespace of its own, with one
port for each colo's host, one for the DNS server, and one in the namespace of the caller.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lab.namespaces import LabError
from lab.topology import COLOS

BRIDGE = "mgmt"
DNS = "dns"
_ROOT_HOST, _DNS_HOST, _FIRST_COLO_HOST = 1, 53, 101


@dataclass(frozen=True, slots=True)
class Management:
    """The management subnet of one lab: 100.64.N.0/24."""

    number: int
    root_link: str
    """The interface in the caller's namespace."""
    lock: socket.socket
    """Held as long as the lab lives. Abstract socket names are per network namespace, exactly as
    far as subnets can collide, and the kernel frees them however the owner ends."""

    def host(self, number: int) -> str:
        """The address of a host of the subnet."""
        return f"100.64.{self.number}.{number}"

    @property
    def root_address(self) -> str:
        """The caller's address, where agents find a coordinator."""
        return self.host(_ROOT_HOST)

    @property
    def dns_address(self) -> str:
        """The DNS server's address."""
        return self.host(_DNS_HOST)

    @property
    def nowhere(self) -> str:
        """An address of the subnet that nobody has."""
        return self.host(254)

    def addresses(self) -> dict[str, str]:
        """By namespace: every colo's and the DNS server's address."""
        hosts = {colo.name: self.host(_FIRST_COLO_HOST + i) for i, colo in enumerate(COLOS)}
        return {**hosts, DNS: self.dns_address}

    def lines(self, namespaces: dict[str, str]) -> Iterator[str]:
        """Lines for ip(8) in the caller's namespace: all the links, and its own end."""
        bridge = namespaces[BRIDGE]
        for name in self._attached(namespaces):
            yield (
                f"link add mgmt0 netns {namespaces[name]} type veth peer name {name} netns {bridge}"
            )
        yield f"link add {self.root_link} type veth peer name root netns {bridge}"
        yield f"address add {self.root_address}/24 dev {self.root_link}"
        yield f"link set {self.root_link} up"

    def bridge_lines(self, among: Collection[str]) -> Iterator[str]:
        """Lines for ip(8) in the bridge's namespace; `among`: the nodes that are built."""
        yield f"link add {BRIDGE} type bridge forward_delay 0"
        for port in (*self._attached(among), "root"):
            yield f"link set {port} master {BRIDGE} up"
        yield f"link set {BRIDGE} up"

    def _attached(self, among: Collection[str]) -> list[str]:
        return [name for name in self.addresses() if name in among or name == DNS]

    def host_lines(self, name: str) -> Iterator[str]:
        """Lines for ip(8) in the namespace of one that is attached."""
        address = self.addresses().get(name)
        if address:
            yield "link set lo up"
            yield f"address add {address}/24 dev mgmt0"
            yield "link set mgmt0 up"


def claim(*, root_link: str) -> Management:
    """A subnet that no other lab and no route of the caller's namespace uses."""
    for number in range(256):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0colotrace-lab/{number}")
        except OSError:
            lock.close()
            continue
        if _is_free(ipaddress.IPv4Network(f"100.64.{number}.0/24")):
            return Management(number, root_link, lock)
        lock.close()
    raise LabError("no management subnet of 100.64.0.0/16 is free")


def _is_free(subnet: ipaddress.IPv4Network) -> bool:
    """No route but the default leads into the subnet, or to an address of it."""
    done = subprocess.run(
        ["ip", "-j", "-4", "route", "show", "table", "all"],
        capture_output=True,
        text=True,
        check=True,
    )
    for route in json.loads(done.stdout or "[]"):
        if route["dst"] == "default":
            continue
        other = ipaddress.IPv4Network(route["dst"], strict=False)
        if subnet.overlaps(other):
            return False
    return True
