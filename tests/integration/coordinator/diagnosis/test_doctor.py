"""`colotrace-coordinator doctor` on hosts without a running coordinator, with real faults."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from colotrace_coordinator.authority.authority import Authority
from fleet import Broker
from fleet.data import prepare
from fleet.postgresql import postgresql_server
from needs import NEEDS_MOUNTS

PROGRAM = Path(sys.executable).parent / "colotrace-coordinator"
NOWHERE = ("--http", "127.0.0.1:1", "--grpc", "127.0.0.1:2", "--join", "127.0.0.1:3")


def doctor(*words: str | Path, before: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """The findings by name."""
    argv = [*before, PROGRAM, "doctor", "--json", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["ok"] == (done.returncode == 0)
    return {each["check"]: each for each in said["findings"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with a database."""
    directory = tmp_path / "data"
    directory.mkdir()
    prepare(directory, program=PROGRAM, account="a")
    return directory


def test_healthy_host(data: Path) -> None:
    """Nothing fails, and nothing is changed."""
    before = {each.name: each.read_bytes() for each in data.iterdir()}
    found = doctor("--data", data, *NOWHERE, "--name", "127.0.0.1")
    assert [each for each in found.values() if each["status"] == "FAIL"] == []
    assert found["database"]["status"] == "OK"
    assert "does not answer" in found["coordinator"]["detail"]
    assert {each.name: each.read_bytes() for each in data.iterdir()} == before


def test_settings_that_serve_refuses(data: Path) -> None:
    found = doctor("--data", data, "--tls-cert", data / "none")
    assert list(found) == ["settings"]
    assert found["settings"]["status"] == "FAIL"


def test_name_that_does_not_resolve(data: Path) -> None:
    found = doctor("--data", data, *NOWHERE, "--name", "nowhere.invalid")
    assert found["name nowhere.invalid"]["status"] == "FAIL"
    assert "does not resolve" in found["name nowhere.invalid"]["detail"]


def test_port_that_another_program_holds(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = doctor("--data", data, *NOWHERE, "--http", f"127.0.0.1:{port}", "--insecure")
    finding = found["port of --http"]
    assert finding["status"] == "FAIL"
    assert f"(process {os.getpid()}) listens there" in finding["detail"]


def test_damaged_database(data: Path) -> None:
    file = data / "colotrace.sqlite3"
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 9] = b"\x55" * 4096 * 6
    file.write_bytes(content)
    found = doctor("--data", data, *NOWHERE)
    finding = found.get("database content", found["database"])
    assert finding["status"] == "FAIL"
    assert "restore" in finding["remedy"]


def test_newer_database(data: Path) -> None:
    with closing(sqlite3.connect(data / "colotrace.sqlite3")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    finding = doctor("--data", data, *NOWHERE)["database"]
    assert (finding["status"], "newer colotrace" in finding["detail"]) == ("FAIL", True)


def test_missing_database(tmp_path: Path) -> None:
    """It is not created."""
    found = doctor("--data", tmp_path / "none", *NOWHERE)
    assert found["database"]["status"] == "WARN"
    assert not (tmp_path / "none").exists()


def test_server_that_does_not_answer() -> None:
    url = "postgresql://colotrace@127.0.0.1:1/colotrace"
    finding = doctor("--database", url, "--insecure", *NOWHERE[:4])["database"]
    assert finding["status"] == "FAIL"
    assert "--database" in finding["remedy"]


def test_dead_resolver_does_not_hold_it_up(data: Path) -> None:
    """It swallows every question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{dead.getsockname()[1]}"
        began = time.monotonic()
        found = doctor("--data", data, *NOWHERE, "--resolver", where)
    assert time.monotonic() - began < 30
    assert "no answer within 2 s" in found["resolver 127.0.0.1"]["detail"]


def test_file_of_a_certificate_that_has_ended(data: Path, tmp_path: Path) -> None:
    authority = Authority.create(clock=lambda: time.time() - 100 * 86_400)
    issued = authority.for_server(["trace.example.net"])
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    certificate.write_bytes(issued.certificate)
    key.write_bytes(issued.key)
    files = ("--tls-cert", certificate, "--tls-key", key)
    finding = doctor("--data", data, *NOWHERE, *files)[f"file {certificate}"]
    assert finding["status"] == "FAIL"
    assert "has ended 70 days ago" in finding["detail"]


def test_asn_file_that_is_none(data: Path) -> None:
    finding = doctor("--data", data, *NOWHERE, "--asn-db", data / "none")["ASN file"]
    assert finding["status"] == "FAIL"


FULL = """set -e
mount -t tmpfs -o size=400k,mode=700 none "$1"
cp -r "$2"/. "$1"
dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null || true
shift 2; exec "$@"
"""


@NEEDS_MOUNTS
def test_full_disk(data: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    before = ("unshare", "--mount", "sh", "-c", FULL, "sh", str(disk), str(data))
    found = doctor("--data", disk, *NOWHERE, before=before)
    assert found["disk"]["status"] == "FAIL"
    assert found["database"]["status"] == "OK"


def test_broker(data: Path, broker: Broker) -> None:
    """It lets everybody in; nobody listens at the other port."""
    local = ("--data", data, "--insecure", *NOWHERE[:4])
    found = doctor(*local, "--mqtt", broker.url)
    assert found[f"broker {broker.url}"]["status"] == "OK", found
    found = doctor(*local, "--mqtt", "mqtt://127.0.0.1:1")
    finding = found["broker mqtt://127.0.0.1:1"]
    assert finding["status"] == "FAIL"
    assert "Connection refused" in finding["detail"]


@pytest.mark.xdist_group("postgresql")
def test_postgresql_that_answers(tmp_path: Path) -> None:
    """With tables of this version, its size and clock are judged, too."""
    with postgresql_server() as url:
        words = ("--database", url)
        created = subprocess.run(
            [PROGRAM, "token", "create", "--account", "a", *words], capture_output=True, check=False
        )
        assert created.returncode == 0, created.stderr
        found = doctor(*words, "--data", tmp_path, *NOWHERE)
    assert found["database"]["status"] == "OK", found["database"]
    assert "database clock" not in found
    assert "there is no CA yet" in found["CA's key"]["detail"]
    assert "disk" not in found
