"""Certificates of servers, judged."""

from pathlib import Path

import pytest
from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.diagnosis.certificates import files, judge
from colotrace_proto.findings import Status
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from manual_clock import ManualClock

NOW = 1_800_000_000.0
DAY_S = 86_400.0
NAMES = ["trace.example.net", "192.0.2.1"]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(clock=ManualClock(NOW))


def der(authority: Authority, names: list[str], *, days: float = 30) -> bytes:
    issued = authority.for_server(names, lifetime_s=days * DAY_S)
    return x509.load_pem_x509_certificate(issued.certificate).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("names", "later_days", "status", "words"),
    [
        (NAMES, 0, Status.OK, "ends in 30 days"),
        (NAMES, 31, Status.FAIL, "has ended"),
        (NAMES, -3, Status.FAIL, "is valid only in 2 days"),
        ([*NAMES, "other.example"], 0, Status.FAIL, "is not for other.example, but for trace"),
    ],
)
def test_own_certificate(
    authority: Authority, names: list[str], later_days: float, status: Status, words: str
) -> None:
    found = judge(
        "x",
        der(authority, NAMES),
        names=names,
        authorities=[authority.certificate],
        now=NOW + later_days * DAY_S,
    )
    assert found.status is status
    assert words in found.detail


def test_certificate_of_another_authority(authority: Authority) -> None:
    other = Authority.create(clock=ManualClock(NOW))
    found = judge("x", der(other, NAMES), names=NAMES, authorities=[authority.certificate], now=NOW)
    assert found.status is Status.FAIL
    assert "not of the CA" in found.detail


def test_file_that_ends_soon_is_a_warning(authority: Authority) -> None:
    found = judge("x", der(authority, NAMES, days=7), names=(), authorities=(), now=NOW)
    assert found.status is Status.WARN
    assert "ends in 7 days" in found.detail


def test_wildcard_covers_one_label(authority: Authority) -> None:
    shown = der(authority, ["*.example.net"])
    for name, status in [("a.example.net", Status.OK), ("a.b.example.net", Status.FAIL)]:
        found = judge("x", shown, names=[name], authorities=(), now=NOW)
        assert found.status is status


def test_garbage_is_said() -> None:
    assert judge("x", b"garbage", names=(), authorities=(), now=NOW).status is Status.FAIL


def test_files_must_match(tmp_path: Path) -> None:
    authority = Authority.create()
    one, other = authority.for_server(["a.example"]), authority.for_server(["a.example"])
    certificate, key = tmp_path / "cert", tmp_path / "key"
    certificate.write_bytes(one.certificate)
    for text, status, words in [
        (one.key, Status.OK, "ends in 30 days"),
        (other.key, Status.FAIL, "is not its key"),
        (b"x", Status.FAIL, "no PEM"),
    ]:
        key.write_bytes(text)
        [found] = files(certificate, key)
        assert found.status is status
        assert words in found.detail
    key.unlink()
    [found] = files(certificate, key)
    assert "cannot be read" in found.detail
