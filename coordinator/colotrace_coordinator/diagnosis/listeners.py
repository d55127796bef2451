"""Who listens on the coordinator's ports, from /proc/net (proc_net(5))."""

import ipaddress
import os
import pwd
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from colotrace_proto.findings import Finding, fail, ok

from colotrace_coordinator.listen import Address

_LISTENING = "0A"
OWN = "colotrace-coordinator"
_STOP = "stop that program, or give another port"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket. `pid` None: this user cannot see its process. That is also so for the
    coordinator's user and its service, whose unit has a user namespace of its own."""

    address: str
    port: int
    uid: int
    pid: int | None
    program: str

    def is_own(self, *, uid: int) -> bool:
        """Whether it is a coordinator's: its process cannot be seen, but is of this user."""
        return self.program == OWN or (self.pid is None and self.uid == uid != 0)


def listeners(ports: Iterable[int], *, proc: Path = Path("/proc")) -> list[Listener]:
    """The listening TCP sockets on these ports."""
    wanted = set(ports)
    found = [
        (address, port, uid, inode)
        for table in ("tcp", "tcp6")
        for address, port, uid, inode in _listening(proc / "net" / table)
        if port in wanted
    ]
    owners = _owners({inode for *_, inode in found}, proc=proc) if found else {}
    return [
        Listener(address, port, uid, *owners.get(inode, (None, "")))
        for address, port, uid, inode in found
    ]


def judge(
    places: Mapping[str, Address], found: Iterable[Listener], *, own: Iterable[str], uid: int
) -> list[Finding]:
    """What holds the ports of `places`, which are by flag. `own`: the hosts of `places` that are
    not this host's are missing from it. `uid`: the user that looks."""
    found, own = list(found), set(own)
    return [_judge(flag, place, found, own=own, uid=uid) for flag, place in places.items()]


def _judge(flag: str, place: Address, found: list[Listener], *, own: set[str], uid: int) -> Finding:
    runs = next((each for each in found if each.is_own(uid=uid)), None)
    check = f"port of {flag}"
    if place.host and place.host not in own:
        return fail(
            check,
            f"{place}: {place.host} is no address of this host",
            f"give {flag} an address of this host, or :{place.port} for all",
        )
    if place.port == 0:
        return ok(check, "any free port")
    holders = [each for each in found if each.port == place.port and _meet(each.address, place)]
    if not holders and runs is not None:
        return fail(
            check,
            f"{place}: the coordinator runs ({_who(runs)}), but does not listen here",
            "run this with the settings of the coordinator, or restart it",
        )
    if not holders:
        return ok(check, f"{place} is free: the coordinator does not run")
    holder = next((each for each in holders if each.is_own(uid=uid)), holders[0])
    if holder.is_own(uid=uid):
        return ok(check, f"{place}: the coordinator listens ({_who(holder)})")
    if holder.pid is not None:
        return fail(check, f"{place}: {holder.program} ({_who(holder)}) listens there", _STOP)
    # Root finds the service of the coordinator's user by its process.
    return fail(
        check,
        f"{place}: a program of another user listens there ({_who(holder)})",
        f"as root, ss -ltnp 'sport = {place.port}' names it; {_STOP}",
    )


def _who(holder: Listener) -> str:
    if holder.pid is not None:
        return f"process {holder.pid}"
    try:
        return f"user {pwd.getpwuid(holder.uid).pw_name}"
    except KeyError:
        return f"user {holder.uid}"


def own_hosts(places: Iterable[Address]) -> set[str]:
    """The hosts of these places that lead to addresses of this host."""
    return {place.host for place in places if place.host and _is_own(place.host)}


def is_own_address(address: str) -> bool:
    """Whether this host has the address. Nothing is sent or listened on."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _is_own(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(is_own_address(str(where[0])) for *_, where in found)


def _meet(address: str, place: Address) -> bool:
    """Whether both cannot be listened on at once."""
    return not place.host or address in ("0.0.0.0", "::", place.host) or _is_name(place.host)  # noqa: S104 - compared


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _listening(table: Path) -> Iterator[tuple[str, int, int, str]]:
    """Address, port, user and inode of each listening socket."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    for words in filter(None, map(str.split, lines)):
        if words[3] == _LISTENING:
            host, _, port = words[1].partition(":")
            yield _address(host), int(port, 16), int(words[7]), words[9]


def _address(text: str) -> str:
    """Words of 32 bits, each in the host's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = b"".join(word.to_bytes(4, "little") for word in words)
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _owners(inodes: set[str], *, proc: Path) -> dict[str, tuple[int, str]]:
    """The process of each socket, as far as this user may see."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, tuple[int, str]] = {}
    for process in proc.iterdir():
        if not process.name.isdecimal():
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    inode = links.get(os.readlink(descriptor))  # noqa: PTH115 - is no path
                    if inode is not None:
                        found[inode] = int(process.name), _program(process)
    return found


def _program(process: Path) -> str:
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    if any(Path(word).name in (OWN, "colotrace_coordinator") for word in words[:4]):
        return OWN
    return Path(words[0]).name or (process / "comm").read_text().strip()
