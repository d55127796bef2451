"""The command `broker files`, and the process that it signals."""

import ssl
import subprocess
import sys
from pathlib import Path

from eventually import wait_until

COMMAND = Path(sys.executable).with_name("colotrace-coordinator")
_CURVE = bytes.fromhex("06082a8648ce3d030107")
"""Names P-256 in a certificate (RFC 5480 section 2.1.1.1)."""
BROKER = """
import signal, time
told = []
print(flush=True)
input()
signal.signal(signal.SIGHUP, lambda *_: told.append(True))
while not told:
    time.sleep(0.01)
print("told")
"""


def test_broker_that_starts_is_told_once_it_handles_the_signal(tmp_path: Path) -> None:
    """It has written its PID file before, as Mosquitto does. The signal would have ended it."""
    pid_file, out = tmp_path / "broker.pid", tmp_path / "out"
    flags = ("--data", tmp_path / "data", "--out", out, "--name", "localhost", "--follow")
    with subprocess.Popen(
        [sys.executable, "-c", BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as broker:
        assert broker.stdin is not None
        assert broker.stdout is not None
        broker.stdout.readline()
        pid_file.write_text(f"{broker.pid}\n")
        log = tmp_path / "log"
        with log.open("wb") as stream:
            files = subprocess.Popen(
                [COMMAND, "broker", "files", *flags, "--pid-file", pid_file], stderr=stream
            )
        try:
            wait_until(lambda: "does not handle SIGHUP yet" in log.read_text())
            assert (out / "acl").exists()
            assert "broker_files_written" not in log.read_text()
            broker.stdin.write("\n")
            broker.stdin.flush()
            assert broker.stdout.read() == "told\n"
            assert broker.wait() == 0
            wait_until(lambda: "broker_files_written" in log.read_text())
        finally:
            files.terminate()
            files.wait()


def test_certificate_of_an_unknown_curve_is_replaced(tmp_path: Path) -> None:
    """Its public key cannot be compared with the private one."""
    flags = ("--data", tmp_path / "data", "--out", tmp_path / "out", "--name", "localhost")
    subprocess.run([COMMAND, "broker", "files", *flags], check=True)
    file = tmp_path / "out" / "broker.pem"
    content = ssl.PEM_cert_to_DER_cert(file.read_text())
    damaged = ssl.DER_cert_to_PEM_cert(content.replace(_CURVE, _CURVE[:-1] + b"\x7f"))
    assert damaged.splitlines() != file.read_text().splitlines()
    file.write_text(damaged)
    subprocess.run([COMMAND, "broker", "files", *flags], check=True)
    assert file.read_text() != damaged
