"""A Mosquitto for enrolled agents: configured by deploy/mqtt/enrolled.conf and `broker files`."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path
from typing import Self

from eventually import wait_until
from forked import Forked
from lab import Lab, Process

from fleet.broker import free_port, wait_until_ready

_CONFIGURATION = Path(__file__).parents[2] / "deploy" / "mqtt" / "enrolled.conf"
_BIN = Path(sys.executable).parent


class EnrolledBroker:
    """Only the port, paths and the user of the file are changed. `stored` are the flags that say
    where the coordinators' database and secret are."""

    def __init__(self, lab: Lab, folder: Path, *, stored: tuple[str | Path, ...]) -> None:
        self.host = lab.management_address
        self.port = free_port(self.host)
        self.folder = folder
        self._stored = stored
        self._lab = lab
        self._processes: list[Process | Forked] = []

    @property
    def url(self) -> str:
        """For `--mqtt`."""
        return f"mqtts://{self.host}:{self.port}"

    def shown(self) -> str:
        """The certificate with which the broker answers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # the client's own is asked for later
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((self.host, self.port), timeout=20) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        pid = self.folder / "mosquitto.pid"
        argv = [
            _BIN / "colotrace-coordinator", "broker", "files", "--out", self.folder,
            "--name", self.host, "--follow", "--pid-file", pid, *self._stored,
        ]  # fmt: skip
        with (self.folder / "files.log").open("wb") as stream:
            self._processes.append(self._lab.fork(None, argv, stdout=stream, stderr=stream))
        wait_until(lambda: (self.folder / "acl").exists(), within_s=20)
        file = self.folder / "mosquitto.conf"
        text = _CONFIGURATION.read_text()
        text = text.replace("listener 8883", f"listener {self.port} {self.host}")
        text = text.replace("/etc/mosquitto/colotrace", str(self.folder))
        text = text.replace("/run/mosquitto/mosquitto.pid", str(pid))
        file.write_text(text + "user root\n")  # the files are root's
        log = self.folder / "broker.log"
        with log.open("wb") as stream:
            broker = self._lab.spawn(
                None, ["mosquitto", "-c", str(file)], stdout=stream, stderr=stream
            )
        self._processes.append(broker)
        wait_until_ready(broker, log)

    def __exit__(self, *exc: object) -> None:
        for each in reversed(self._processes):
            each.kill()
            each.wait()
