"""A Mosquitto with TLS on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fleet.authority import Authority
from fleet.broker import free_port, wait_until_ready
from lab import Process

from bench import proc

_ADDRESS = "127.0.0.1"


class Broker:
    """A broker that allows every client. `authority` signs its certificate."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        pair = authority.issue("broker", also=_ADDRESS)
        port = free_port(_ADDRESS)
        self.url = f"mqtts://{_ADDRESS}:{port}"
        settings = directory / "mosquitto.conf"
        settings.write_text(
            f"listener {port} {_ADDRESS}\n"
            f"certfile {pair.certificate}\nkeyfile {pair.key}\n"
            "allow_anonymous true\npersistence false\nuser root\nlog_dest stderr\n"
        )
        log = directory / "broker.log"
        with log.open("wb") as stream:
            argv = ["mosquitto", "-c", str(settings)]
            self._process = Process(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        wait_until_ready(self._process, log)

    def cpu_ms(self) -> float:
        """CPU time so far."""
        return proc.cpu_ms(self._process.pid)

    def close(self) -> None:
        """SIGTERM, and wait."""
        self._process.stop()
