"""The lab itself: brings the drawn network up in real kernels, and takes it down again."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Self

import forked
from forked import Forked

from lab import access, asn, management, names, namespaces, plan, programs, reap, truth
from lab.management import BRIDGE, DNS, Management
from lab.namespaces import LabError
from lab.owner import Tag
from lab.processes import Process, entered, environment, stop_all
from lab.topology import COLOS, MANY_COUNT, NODES, OPEN_PORT, Colo, Family, address_of

_LISTENER = Path(__file__).with_name("listener.py")
_READY_S = 5.0

Stream = int | IO[bytes] | None


class Lab:
    """A network of kernel routers: `with Lab() as lab: …`, or `up()` and `down()`."""

    colos: tuple[Colo, ...] = COLOS

    def __init__(self, *, default_limits: bool = False, among: Collection[str] = ()) -> None:
        """Prepare a lab; `default_limits` leaves the kernels' ICMP limits as they are. `among`
        names hosts: only these, `web`, and what lies between are built, which takes less time."""
        self.tag = Tag.new()
        self.default_limits = default_limits
        self._nodes = truth.between("web", *among) if among else frozenset(NODES)
        self._management: Management | None = None
        self._processes: list[Process | Forked] = []

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *exc: object) -> None:
        self.down()

    def up(self) -> None:
        """Bring everything up, ready to be traced; first remove what dead owners left."""
        access.require()
        reap.remove_dead()
        try:
            self._up()
        except BaseException:
            self.down()
            raise

    def _up(self) -> None:
        reap.make_state(self.tag)
        self._management = management.claim(root_link=self.tag.root_link)
        # Names whose servers never answer are given up within 2 s, not 10.
        options = "options timeout:1 attempts:2"
        self._resolv_conf.write_text(f"nameserver {self._management.dns_address}\n{options}\n")
        spaces = {name: self.tag.namespace(name) for name in (*self._nodes, DNS, BRIDGE)}
        namespaces.create(spaces.values())
        by_space = {space: name for name, space in spaces.items()}
        traced = [spaces[name] for name in self._nodes]
        namespaces.in_each(traced, lambda space: self._prepare(by_space[space]))
        namespaces.batch([*plan.links(spaces), *self._management.lines(spaces)])
        namespaces.in_each(by_space, lambda space: self._configure(by_space[space]))
        listener, resolver = self._start_listener(), self._start_resolver()
        asn.write(self.asn_db)
        _wait_for_line(listener)
        names.wait_ready(self._management.dns_address, resolver)

    def _prepare(self, name: str) -> None:
        namespaces.write_sysctls(plan.sysctls(name, default_limits=self.default_limits))

    def _configure(self, name: str) -> None:
        net = self._up_management
        lines = list(net.bridge_lines(self._nodes) if name == BRIDGE else net.host_lines(name))
        if name in self._nodes:
            lines += plan.node_lines(name, self._nodes)
            if plan.filters(name):
                namespaces.load_filters(plan.filters(name))
        namespaces.batch(lines)

    def _start_listener(self) -> Process:
        # Without site-packages, which it does not need and which would take it longer to start.
        argv = [sys.executable, "-I", "-S", str(_LISTENER), str(OPEN_PORT)]
        return self.spawn("web", argv, stdout=subprocess.PIPE)

    def _start_resolver(self) -> Process:
        with (self.tag.state / "dns.log").open("wb") as log:
            resolver = self.spawn(DNS, names.COMMAND, stdin=subprocess.PIPE, stderr=log)
        if resolver.stdin is None:
            raise LabError("dnsmasq was started without its configuration")
        with resolver.stdin as stdin:
            stdin.write(names.configuration(self._up_management).encode())
        return resolver

    def down(self) -> None:
        """Stop every process of the lab and remove all of it; harmless when it is not up."""
        try:
            stop_all(self._processes)
        finally:
            self._processes.clear()
            reap.remove(self.tag)
        if self._management:
            self._management.lock.close()
            self._management = None

    # Where things are.

    @property
    def _up_management(self) -> Management:
        if self._management is None:
            raise LabError("the lab is not up")
        return self._management

    @property
    def _resolv_conf(self) -> Path:
        return self.tag.state / "resolv.conf"

    @property
    def management_address(self) -> str:
        """The caller's address on the management network: agents reach a coordinator there."""
        return self._up_management.root_address

    @property
    def resolver(self) -> str:
        """HOST:PORT of the DNS server, reachable from every host and from the caller."""
        return f"{self._up_management.dns_address}:53"

    @property
    def asn_db(self) -> Path:
        """The MaxMind-format ASN file for the lab's prefixes."""
        return self.tag.state / "asn.mmdb"

    def namespace(self, node: str) -> str:
        """The name of a node's network namespace, for `ip netns exec`."""
        if node not in (*self._nodes, DNS, BRIDGE):
            raise KeyError(f"the lab has no node {node}")
        return self.tag.namespace(node)

    # What a perfect answer says.

    def address(self, name: str, *, family: Family = 4) -> str:
        """The address of a node or extra name."""
        return address_of(name, family=family)

    def many(self, *, family: Family = 4) -> tuple[str, ...]:
        """A hundred addresses that all answer, at the place of `web`."""
        return tuple(address_of(f"many{i}", family=family) for i in range(1, MANY_COUNT + 1))

    def path(self, source: str, target: str, *, family: Family = 4) -> tuple[truth.Hop, ...]:
        """The true hops from a colo to a target, named or by address, the target included."""
        return truth.path(source, target, family=family)

    def name_of(self, address: str) -> str | None:
        """The true PTR record of an address, None where it has none."""
        return truth.name_of(address)

    def asn_of(self, address: str) -> int | None:
        """The true ASN of an address, None where nobody announces it."""
        return truth.asn_of(address)

    # Running programs.

    def environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """The caller's environment with the mark by which the lab knows its processes."""
        return environment(self.tag, extra)

    def run(
        self,
        host: str | None,
        argv: Sequence[str | Path],
        *,
        timeout_s: float = 30.0,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end in a host's namespaces (None: the caller's own), its output
        captured as text."""
        return subprocess.run(
            self.command(host, argv) if host else argv,
            env=self.environment(env),
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def spawn(
        self,
        host: str | None,
        argv: Sequence[str | Path],
        *,
        env: dict[str, str] | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> Process:
        """Start a program in a host's namespaces (None: the caller's own); `down` stops it.

        `env` is added to the caller's environment. The process id is the program's own.
        """
        process = Process(
            self.command(host, argv) if host else [str(each) for each in argv],
            env=self.environment(env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # a Ctrl-C at the terminal is the owner's to act upon
        )
        self._processes.append(process)
        return process

    def fork(
        self,
        host: str | None,
        argv: Sequence[str | Path],
        *,
        env: dict[str, str] | None = None,
        stdin: forked.Stream | None = None,
        stdout: forked.Stream,
        stderr: forked.Stream,
    ) -> Forked:
        """Start an agent or a coordinator as `spawn` does, without its imports."""
        process = programs.start(
            argv,
            network=namespaces.DIRECTORY / self.namespace(host) if host else "",
            resolv_conf=self._resolv_conf if host else "",
            env=self.environment(env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        self._processes.append(process)
        return process

    def run_forked(
        self,
        host: str | None,
        argv: Sequence[str | Path],
        *,
        timeout_s: float = 30.0,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run an agent or a coordinator as `run` does, without its imports."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = self.fork(host, argv, env=env, stdout=out.fileno(), stderr=err.fileno())
            try:
                code = process.wait(timeout_s)
            finally:
                process.close()
                self._processes.remove(process)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(process.args, code, out.read(), err.read())

    def command(self, host: str, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs a program in a host's namespaces, for other starters."""
        return entered(self.namespace(host), argv, resolv_conf=self._resolv_conf)


def _wait_for_line(process: Process) -> None:
    """Wait until a server says that it is ready."""
    if process.stdout is None:
        raise LabError("the server was started without a pipe")
    fd = process.stdout.fileno()
    ready, _, _ = select.select([fd], [], [], _READY_S)
    if not ready or not os.read(fd, 64):
        raise LabError(f"{process.args!r} did not become ready")
