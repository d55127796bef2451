"""The network of booted hosts: each behind its own interface of one kernel router, the hub.

A host reaches the others and `example.com`, all through the hub, and nothing of the outside.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab import namespaces, reap
from lab.owner import MARK, Tag
from lab.processes import Process

from installed.roots import Root, RootError

EXAMPLE4 = "93.184.215.14"
EXAMPLE6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
"""A target with public addresses, as users have; here it is one hop behind the router."""
SILENT = "192.0.78.9"
"""A public address, to which the router knows a way, and nothing answers."""
DOMAIN = "example.net"


class World:
    """The router, the names and the hosts of one test."""

    resolver = "10.71.0.1"

    def __init__(self, tag: Tag, directory: Path) -> None:
        self.tag = tag
        self.directory = directory
        self.roots: dict[str, Root] = {}
        self._numbers = itertools.count(1)
        self._hub = f"{tag}-hub"
        self._names: Process | None = None
        self._hosts = directory / "hosts"

    def root(self, name: str, lower: Path | str) -> Root:
        """A new host over a base, or over the layers of another host. It is not booted yet."""
        number = next(self._numbers)
        root = Root(
            name,
            self.directory / name,
            lower=str(lower),
            number=number,
            tag=self.tag,
            resolv_conf=f"nameserver {self.resolver}\nsearch {DOMAIN}\n",
        )
        self._connect(root.namespace, f"10.71.{number}", f"fd71:{number}:", number)
        self.roots[name] = root
        self._serve_names()
        return root

    def remove(self, root: Root) -> None:
        """Remove a host, with its files and its interface of the router."""
        root.remove()
        del self.roots[root.name]

    def bring_up(self) -> None:
        """Make the router, and the target behind it."""
        target = f"{self.tag}-target"
        namespaces.create([self._hub])
        self._in(self._hub, "ip link set lo up")
        self._in(self._hub, f"ip address add {self.resolver}/32 dev lo")
        for name, value in {
            "net.ipv4.ip_forward": 1,
            "net.ipv6.conf.all.forwarding": 1,
            # The limits on ICMP errors would turn up as loss.
            "net.ipv4.icmp_ratelimit": 0,
            "net.ipv6.icmp.ratelimit": 0,
        }.items():
            self._in(self._hub, f"sysctl -qw {name}={value}")
        self._connect(target, "10.71.250", "fd71:250:", 250)
        self._in(target, f"ip address add {EXAMPLE4}/32 dev lo")
        self._in(target, f"ip -6 address add {EXAMPLE6}/128 dev lo")
        self._in(self._hub, f"ip route add {EXAMPLE4}/32 via 10.71.250.2")
        self._in(self._hub, f"ip -6 route add {EXAMPLE6}/128 via fd71:250::2")
        self._in(self._hub, f"ip route add {SILENT}/32 via 10.71.250.2")

    def on_router(self, *command: str) -> list[str]:
        """The command line that runs a program of this machine on the router."""
        return ["nsenter", f"--net={namespaces.DIRECTORY / self._hub}", *command]

    def _connect(self, namespace: str, four: str, six: str, number: int) -> None:
        """Make a namespace whose only way out is through the router."""
        namespaces.create([namespace])
        self._in(self._hub, f"ip link add v{number} type veth peer name host0 netns {namespace}")
        for where, device, last in ((self._hub, f"v{number}", 1), (namespace, "host0", 2)):
            self._in(where, f"ip address add {four}.{last}/24 dev {device}")
            self._in(where, f"ip -6 address add {six}:{last}/64 dev {device} nodad")
            self._in(where, f"ip link set {device} up")
        self._in(namespace, "ip link set lo up")
        self._in(namespace, f"ip route add default via {four}.1")
        self._in(namespace, f"ip -6 route add default via {six}:1")

    def _serve_names(self) -> None:
        """Have dnsmasq, in the router, answer for every host and for example.com."""
        lines = [f"{EXAMPLE4} example.com", f"{EXAMPLE6} example.com"]
        for root in self.roots.values():
            lines += [
                f"{address} {root.name}.{DOMAIN} {root.name}"
                for address in (root.address4, root.address6)
            ]
        self._hosts.write_text("\n".join(lines) + "\n")
        if self._names is not None:
            self._names.send_signal(1)  # SIGHUP: read the file anew
            return
        self._names = Process(
            [
                "nsenter",
                f"--net={namespaces.DIRECTORY / self._hub}",
                "dnsmasq",
                "--keep-in-foreground",
                "--no-resolv",
                "--conf-file=/dev/null",
                "--no-hosts",
                "--user=root",
                "--pid-file=",
                f"--addn-hosts={self._hosts}",
                f"--domain={DOMAIN}",
                "--local=/#/",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, MARK: str(self.tag)},
        )

    def _in(self, namespace: str, command: str) -> None:
        done = subprocess.run(
            ["nsenter", f"--net={namespaces.DIRECTORY / namespace}", *command.split()],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RootError(f"{command}: {done.stderr.strip()}")

    def take_down(self) -> None:
        for root in list(self.roots.values()):
            self.remove(root)
        if self._names is not None:
            self._names.stop()
        reap.remove(self.tag)


@contextlib.contextmanager
def world(directory: Path) -> Iterator[World]:
    """A world of hosts below a directory; it is gone at the end, whatever happened."""
    reap.remove_dead()
    tag = Tag.new()
    reap.make_state(tag)
    made = World(tag, directory)
    try:
        made.bring_up()
        yield made
    finally:
        made.take_down()
