"""The names of the lab: Debian's dnsmasq with a record for everything that was drawn."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time
from collections.abc import Iterator

from lab.management import Management
from lab.namespaces import LabError
from lab.processes import Process
from lab.topology import DOMAIN, EXTRAS, FAMILIES, NODES, address_of

LAME_DOMAIN = "lame.example"
"""Names below it are asked of a server that never answers."""

ALIASES = f"alias.{DOMAIN}"
"""Every name below it is `dark`, which answers nothing."""

_READY_S = 5.0


# Not a daemon, and nothing of one: above all it keeps its user, for in a user namespace there is
# no other to become.
COMMAND = ("dnsmasq", "--no-daemon", "--conf-file=-")


def configuration(management: Management) -> str:
    """The dnsmasq configuration, to be read from its standard input."""
    return "\n".join([*_settings(management), *_records(), *_aliases(), *_lame(management), ""])


def _settings(management: Management) -> Iterator[str]:
    yield from ("no-resolv", "no-hosts", "bind-interfaces", "local-ttl=300")
    yield f"listen-address={management.dns_address}"
    # Whatever is not said here does not exist.
    yield "address=/#/"


def _records() -> Iterator[str]:
    for name in NODES:
        addresses = ",".join(address_of(name, family=family) for family in FAMILIES)
        if NODES[name].has_name:
            yield f"host-record={name}.{DOMAIN},{addresses}"
    for extra in EXTRAS:
        addresses = ",".join(address_of(extra.name, family=family) for family in extra.families)
        if extra.has_name:
            yield f"host-record={extra.name}.{DOMAIN},{addresses}"


def _aliases() -> Iterator[str]:
    yield f"address=/{ALIASES}/{address_of('dark', family=4)}"


def _lame(management: Management) -> Iterator[str]:
    addresses = [ipaddress.ip_address(address_of("lame", family=family)) for family in FAMILIES]
    for zone in (LAME_DOMAIN, *(address.reverse_pointer for address in addresses)):
        yield f"server=/{zone}/{management.nowhere}"


def wait_ready(address: str, process: Process) -> None:
    """Ask the server until it answers."""
    deadline = time.monotonic() + _READY_S
    query = _query(f"web.{DOMAIN}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 53))
        sock.settimeout(0.02)
        while time.monotonic() < deadline and process.poll() is None:
            try:
                sock.send(query)
                if sock.recv(512)[:2] == query[:2]:
                    return
            except TimeoutError:
                continue
            except ConnectionRefusedError:  # not bound yet: the refusal came at once
                time.sleep(0.005)
    raise LabError(f"the DNS server does not answer on {address} (ended: {process.poll()})")


def _query(name: str) -> bytes:
    labels = b"".join(struct.pack("B", len(part)) + part.encode() for part in name.split("."))
    return secrets.token_bytes(2) + bytes.fromhex("01000001000000000000") + labels + b"\0\0\1\0\1"
