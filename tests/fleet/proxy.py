"""HAProxy before several coordinators, as deploy/haproxy.cfg configures it."""

from __future__ import annotations

import csv
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from eventually import wait_until
from lab import Lab, Process

from fleet.broker import free_port

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
_READY_S = 10.0


def missing() -> str | None:
    """What a test with this proxy lacks here."""
    return None if _program() else "haproxy is not installed; run: make setup"


class Proxy:
    """Spreads requests over the coordinators at these addresses, each HOST:PORT of their API."""

    def __init__(self, lab: Lab, *coordinators: str) -> None:
        self._lab = lab
        self.url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
        self.directory = Path(tempfile.mkdtemp(prefix="colotrace-proxy-"))
        self._control = self.directory / "control"
        self._coordinators = coordinators
        self._process: Process | None = None

    def __enter__(self) -> Self:
        file = self.directory / "haproxy.cfg"
        file.write_text(self._configuration())
        with self.log.open("wb") as stream:
            self._process = self._lab.spawn(
                None,
                [_program() or "haproxy", "-f", file],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        self.wait_ready(len(self._coordinators))
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def log(self) -> Path:
        """One line for each request."""
        return self.directory / "proxy.log"

    def wait_ready(self, coordinators: int) -> None:
        """Wait until exactly so many coordinators get requests."""
        wait_until(
            lambda: self.ready() == coordinators,
            within_s=_READY_S,
            error=lambda: TimeoutError(self.log.read_text()),
        )

    def ready(self) -> int:
        """How many coordinators get requests, since their /readyz returns 200."""
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.connect(str(self._control))
                control.sendall(b"show stat\n")
                table = control.makefile().read()
        except OSError:
            return 0
        rows = csv.DictReader(table.removeprefix("# ").splitlines())
        return sum(
            row["pxname"] == "ready"
            and row["svname"].startswith("coordinator")
            and row["status"] == "UP"
            and row["check_status"] == "L7OK"
            for row in rows
        )

    def _configuration(self) -> str:
        text = CONFIGURATION.read_text().replace("bind :8080", f"bind {self.url[7:]}")
        for number, address in enumerate(self._coordinators, 1):
            text, changed = re.subn(rf"coordinator{number}:8080", address, text)
            assert changed == 2, text
        return text.replace("global\n", f"global\n    stats socket {self._control}\n", 1)


def _program() -> str | None:
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
