"""Network namespaces: made and deleted by ip(8), entered by threads.

A network namespace belongs to a thread, not a process. A worker thread that enters one can write
its sysctls and start ip(8) in it, without one more program for each namespace.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from ipaddress import IPv6Address
from pathlib import Path

from eventually import wait_until

DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_WORKERS = 4
_RTF_LOCAL = 0x80000000
_ADDED = re.compile(r"^addr(?:ess)? add ((?!fe80:)[0-9a-f]+:[0-9a-f:]+)/", re.MULTILINE)
"""Global IPv6 addresses."""

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(RuntimeError):
    """The lab could not be brought up."""


def batch(lines: Iterable[str]) -> None:
    """Have ip(8) do every line, in the namespace of the calling thread, and wait until it receives
    what is sent to the IPv6 addresses that were added."""
    text = "\n".join(lines)
    done = subprocess.run(
        ["ip", "-batch", "-"], input=text, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise LabError(f"ip: {done.stderr.strip()}")
    if added := _ADDED.findall(text):
        wait_until_received(added)


def wait_until_received(addresses: Iterable[str]) -> None:
    """Wait until packets to these IPv6 addresses are for the namespace of the calling thread. The
    kernel makes their local routes in a work queue, after ip(8) has ended, and on a busy machine
    that can take a second (addrconf_dad_work in net/ipv6/addrconf.c)."""
    wanted = {IPv6Address(each).packed.hex() for each in addresses}

    def all_are_local() -> bool:
        routes = map(str.split, Path("/proc/thread-self/net/ipv6_route").read_text().splitlines())
        return wanted <= {route[0] for route in routes if int(route[8], 16) & _RTF_LOCAL}

    wait_until(all_are_local, error=lambda: LabError(f"not received for: {', '.join(addresses)}"))


def create(names: Iterable[str]) -> None:
    """Make named namespaces."""
    batch(f"netns add {name}" for name in names)


def delete(names: Iterable[str]) -> None:
    """Delete named namespaces; the kernel clears their interfaces once nothing runs in them."""
    batch(f"netns delete {name}" for name in names if (DIRECTORY / name).exists())


def existing() -> list[str]:
    """The names of all named namespaces, ours and others'."""
    return sorted(entry.name for entry in DIRECTORY.iterdir()) if DIRECTORY.is_dir() else []


def in_each(names: Iterable[str], work: Callable[[str], None]) -> None:
    """Do `work(name)` inside every named namespace, several at a time."""

    def enter_and_work(name: str) -> None:
        _enter(name)
        work(name)

    # The threads end in foreign namespaces, so they are used for nothing else.
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="lab-netns") as pool:
        for _ in pool.map(enter_and_work, names):
            pass


def _enter(name: str) -> None:
    fd = os.open(DIRECTORY / name, os.O_RDONLY | os.O_CLOEXEC)
    with closing(os.fdopen(fd)):
        if _libc.setns(fd, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise LabError(f"cannot enter {name}: {os.strerror(code)}")


def write_sysctls(values: Iterable[tuple[str, str]]) -> None:
    """Write (path below /proc/sys/net, value) in the namespace of the calling thread."""
    for path, value in values:
        try:
            Path("/proc/sys/net", path).write_text(f"{value}\n")
        except OSError as error:
            raise LabError(f"cannot set net/{path} to {value}: {error.strerror}") from error


def load_filters(rules: str) -> None:
    """Have nft(8) load a rule set in the namespace of the calling thread."""
    done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True)
    if done.returncode:
        raise LabError(f"nft: {done.stderr.strip()}")


def in_use() -> set[str]:
    """The network namespaces that processes are in, as `net:[INODE]`."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            found.add(str((process / "ns/net").readlink()))
    return found
