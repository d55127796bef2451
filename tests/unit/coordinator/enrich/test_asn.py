"""ASNs from files built for the test, in MaxMind's format."""

import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from colotrace_coordinator.enrich.asn import CHECK_INTERVAL_S, AsnFileError, AsnTable
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from structlog.testing import capture_logs


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, records: dict[str, Any], *, ip_version: int = 6) -> Path:
    """Put a new file in the old one's place, as update tools do."""
    writer = MMDBWriter(ip_version, "Test-ASN", ipv4_compatible=ip_version == 6)
    for prefix, record in records.items():
        writer.insert_network(IPSet([prefix]), record)
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    fresh.replace(path)
    return path


def make(path: Path, clock: Clock | None = None) -> AsnTable:
    return AsnTable(path, log=structlog.get_logger(), clock=clock or Clock())


def test_asns_in_the_forms_that_vendors_write(tmp_path: Path) -> None:
    """A number as GeoLite2 and DB-IP have it, "AS123" as IPinfo has it; no ASN is absent."""
    path = write(
        tmp_path / "asn.mmdb",
        {
            "192.0.2.0/25": {"autonomous_system_number": 64500},
            "192.0.2.128/25": {"asn": "AS64501", "name": "B"},
            "198.51.100.0/25": {"asn": 64502},
            "198.51.100.128/26": {"asn": "64503"},
            "198.51.100.192/26": {"asn": "none"},
            "203.0.113.0/25": {"autonomous_system_number": 0},
            "203.0.113.128/25": {"country": "US"},
            "2001:db8::/32": {"autonomous_system_number": 4_200_000_000},
        },
    )
    table = make(path)
    asked = [
        "192.0.2.1",
        "192.0.2.129",
        "198.51.100.1",
        "198.51.100.129",
        "198.51.100.193",
        "203.0.113.1",
        "203.0.113.129",
        "2001:db8::1",
        "10.0.0.1",
    ]
    assert table.asns(asked) == {
        "192.0.2.1": "AS64500",
        "192.0.2.129": "AS64501",
        "198.51.100.1": "AS64502",
        "198.51.100.129": "AS64503",
        "2001:db8::1": "AS4200000000",
    }
    table.close()


def test_file_of_ipv4_alone(tmp_path: Path) -> None:
    """IPv6 addresses have no ASN there, and cost no exception."""
    path = write(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS1"}}, ip_version=4)
    table = make(path)
    assert table.asns(["192.0.2.1", "2001:db8::1"]) == {"192.0.2.1": "AS1"}
    table.close()


def test_replaced_file_is_taken_in(tmp_path: Path) -> None:
    """Within a minute, without a restart."""
    clock = Clock()
    path = write(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS1"}})
    table = make(path, clock)
    write(path, {"192.0.2.0/24": {"asn": "AS2"}})
    clock.now = CHECK_INTERVAL_S - 1
    assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS1"}
    clock.now = CHECK_INTERVAL_S
    assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS2"}
    table.close()


def test_broken_new_file_keeps_the_old_one(tmp_path: Path) -> None:
    """With one line in the log, however often it is looked at; the next good file is taken."""
    clock = Clock()
    path = write(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS1"}})
    with capture_logs() as lines:
        table = make(path, clock)
        broken = tmp_path / "broken"
        broken.write_bytes(b"half a file")
        broken.replace(path)
        for _ in range(3):
            clock.now += CHECK_INTERVAL_S
            assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS1"}
        path.unlink()
        clock.now += CHECK_INTERVAL_S
        assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS1"}
        write(path, {"192.0.2.0/24": {"asn": "AS2"}})
        clock.now += CHECK_INTERVAL_S
        assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS2"}
    assert [line["event"] for line in lines] == ["asn_db_broken", "asn_db_reloaded"]
    table.close()


def test_unreadable_at_the_start(tmp_path: Path) -> None:
    """Missing, a folder, or of another format: said with the path."""
    junk = tmp_path / "junk.mmdb"
    junk.write_bytes(os.urandom(1000))
    empty = tmp_path / "empty.mmdb"
    empty.touch()
    for path, words in (
        (tmp_path / "none.mmdb", "cannot read the ASN file .*none.mmdb: No such file"),
        (tmp_path, "cannot read the ASN file .*: Is a directory"),
        (junk, "junk.mmdb is no file in MaxMind's format"),
        (empty, "empty.mmdb is no file in MaxMind's format"),
    ):
        with pytest.raises(AsnFileError, match=words):
            make(path)
