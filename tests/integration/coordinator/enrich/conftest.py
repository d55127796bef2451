"""A real name server on the loopback interface: Debian's dnsmasq."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eventually import wait_until
from lab import access
from needs import need

DNSMASQ = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin:/bin")


@dataclass
class NameServer:
    """A name server; `log` has every query."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def questions(self) -> list[str]:
        """The queried names, in order."""
        lines = self.log.read_text().splitlines()
        return [line.split("query[PTR] ")[1].split()[0] for line in lines if "query[PTR]" in line]


def free_port() -> int:
    """A port that is free for both UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])


@pytest.fixture
def name_server(tmp_path: Path) -> Iterator[Callable[..., NameServer]]:
    """Starts a server with these records: `PTR name -> target`; options are passed on."""
    need(None if DNSMASQ else "dnsmasq is not installed (Debian: dnsmasq-base)")
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str, **records: str) -> NameServer:
        port, log = free_port(), tmp_path / f"dns{len(started)}.log"
        log.touch()
        ptrs = [f"--ptr-record={to_arpa(ip)},{name}" for ip, name in records.items()]
        process = subprocess.Popen(
            [
                str(DNSMASQ),
                # In the foreground; another user could not write the log.
                *(["--keep-in-foreground", "--user=root"] if access.is_root() else ["--no-daemon"]),
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                f"--port={port}",
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--pid-file",
                "--log-queries",
                f"--log-facility={log}",
                "--local=//",
                *options,
                *ptrs,
            ]
        )
        started.append(process)
        wait_until_it_answers(port, process)
        return NameServer(port, log, process)

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=10)


def to_arpa(ip: str) -> str:
    """`a1_2_3_4` is 1.2.3.4."""
    return ".".join(reversed(ip.removeprefix("a").split("_"))) + ".in-addr.arpa"


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    """It listens on TCP as soon as it has started."""

    def listens() -> bool:
        assert process.poll() is None, "dnsmasq ended at once"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, within_s=10)
