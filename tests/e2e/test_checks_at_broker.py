"""`colotrace-coordinator doctor` and `colotrace-agent check` at a broker with access control."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fleet.authority import Authority
from fleet.guarded import GuardedBroker

BIN = Path(sys.executable).parent


def finding(*words: str | Path) -> dict[str, Any]:
    """The one about the broker."""
    done = subprocess.run(
        [*words, "--json"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return next(
        each for each in json.loads(done.stdout)["findings"] if each["check"].startswith("broker")
    )


def doctor(url: str, authority: Path, *words: str | Path) -> dict[str, Any]:
    places = ("--http", "127.0.0.1:1", "--grpc", "127.0.0.1:2", "--data", "/nonexistent")
    program = (BIN / "colotrace-coordinator", "doctor", "--insecure", *places)
    return finding(*program, "--mqtt", url, "--mqtt-ca", authority, *words)


def check(url: str, authority: Path) -> dict[str, Any]:
    program = (BIN / "colotrace-agent", "check", "--insecure", "--colo", "den01")
    return finding(*program, "--mqtt", url, "--mqtt-ca", authority)


def test_rights_of_each_user(guarded: GuardedBroker) -> None:
    """Those of an agent do not do for a coordinator."""
    authority = guarded.authority.path
    assert doctor(guarded.url("coordinator"), authority)["status"] == "OK"
    assert check(guarded.url("den01-a"), authority)["status"] == "OK"
    refused = doctor(guarded.url("den01-a"), authority)
    assert refused["status"] in ("WARN", "FAIL")
    assert "rights of a coordinator" in refused["remedy"]


def test_coordinator_by_certificate(guarded: GuardedBroker) -> None:
    pair = guarded.pair("coordinator")
    files = ("--mqtt-cert", pair.certificate, "--mqtt-key", pair.key)
    assert doctor(guarded.url(None), guarded.authority.path, *files)["status"] == "OK"


@pytest.mark.parametrize("look", [doctor, check])
def test_wrong_password(guarded: GuardedBroker, look: Any) -> None:
    url = guarded.url("den01-a").replace("den01-a%2F", "wrong%2F", 1)
    found = look(url, guarded.authority.path)
    assert found["status"] == "FAIL"
    assert "Not authorized" in found["detail"]
    assert "user and password" in found["remedy"]
    assert "wrong" not in json.dumps(found)


@pytest.mark.parametrize("look", [doctor, check])
def test_broker_with_another_ca(guarded: GuardedBroker, tmp_path: Path, look: Any) -> None:
    found = look(guarded.url("den01-a"), Authority(tmp_path).path)
    assert found["status"] == "FAIL"
    assert "certificate" in found["detail"]
    assert "--mqtt-ca" in found["remedy"]
