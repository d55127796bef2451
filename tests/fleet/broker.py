"""A real Mosquitto, started on a free port and stopped, killed, frozen and started again.

with Broker(lab) as broker:
    Fleet(lab, broker=broker)
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

from eventually import wait_until
from lab import Lab, Process

_READY_S = 10.0


class BrokerError(Exception):
    """Mosquitto did not come up; the text holds what it logged."""


class Broker:
    """A broker that every host of the lab reaches. `settings` are further lines of its file."""

    def __init__(self, lab: Lab, *, host: str | None = None, settings: str | None = None) -> None:
        """`settings` None lets in whoever comes."""
        self.host = host or lab.management_address
        self.port = free_port(self.host)
        self.directory = Path(tempfile.mkdtemp(prefix="colotrace-broker-"))
        self._lab = lab
        self.settings = "allow_anonymous true" if settings is None else settings
        self._process: Process | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """For `--mqtt`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"

    @property
    def log(self) -> Path:
        """What it logged."""
        return self.directory / "broker.log"

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Starts it, always on the same port; it has forgotten all that was retained."""
        file = self.directory / "mosquitto.conf"
        lines = [
            f"listener {self.port} {self.host}",
            "persistence false",
            "user root",  # the files are root's
            "log_dest stderr",
            self.settings,
        ]
        file.write_text("\n".join(lines) + "\n")
        with self.log.open("ab") as stream:
            offset = stream.tell()
            argv = ["mosquitto", "-c", str(file)]
            self._process = self._lab.spawn(
                None, argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
        wait_until_ready(self._process, self.log, offset=offset)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.stop()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: its connections stay up, and nothing moves."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stops it and removes its files."""
        if self._process is not None:
            self.thaw()
            self._process.stop()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def wait_until_ready(process: Process, log: Path, *, offset: int = 0) -> None:
    """Wait until Mosquitto logs that it runs. Its port says less: it may be in a namespace that is
    not ours. Raises BrokerError."""

    def ready() -> bool:
        if process.poll() is not None:
            raise BrokerError(log.read_text())
        return b" running\n" in log.read_bytes()[offset:]

    wait_until(ready, within_s=_READY_S, error=lambda: BrokerError(log.read_text()))


def free_port(host: str) -> int:
    """A TCP port of that address which nothing listens at. The kernel takes none of these for
    outgoing connections, so it is still free when a server is started at it a moment later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [port for port in range(10_000, 65_536) if not first <= port <= last]
    random.SystemRandom().shuffle(ports)
    for port in ports:
        with socket.socket(family) as sock, suppress(OSError):
            sock.bind((host, port))
            return port
    raise OSError(f"{host} has no free port")
