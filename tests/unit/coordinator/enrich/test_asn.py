"""ASNs from files built for the test, in MaxMind's format."""

import asyncio
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from colotrace_coordinator.enrich import asn as module
from colotrace_coordinator.enrich.asn import AsnFileError, AsnTable
from colotrace_coordinator.metrics import Metrics
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs


def write(path: Path, records: dict[str, Any], *, ip_version: int = 6) -> Path:
    """Put a new file in the old one's place, as update tools do."""
    writer = MMDBWriter(ip_version, "Test-ASN", ipv4_compatible=ip_version == 6)
    for prefix, record in records.items():
        writer.insert_network(IPSet([prefix]), record)
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    fresh.replace(path)
    return path


def make(path: Path, numbers: CollectorRegistry | None = None) -> AsnTable:
    metrics = Metrics(numbers if numbers is not None else CollectorRegistry())
    return AsnTable(path, log=structlog.get_logger(), metrics=metrics)


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


def test_file_of_ipv4_alone(tmp_path: Path) -> None:
    """IPv6 addresses have no ASN there, and cost no exception."""
    path = write(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS1"}}, ip_version=4)
    table = make(path)
    assert table.asns(["192.0.2.1", "2001:db8::1"]) == {"192.0.2.1": "AS1"}


def test_replaced_file_is_taken_in(tmp_path: Path) -> None:
    """Without a restart; what was remembered of the old one is forgotten."""
    path = write(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS1"}})
    table = make(path)
    assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS1"}
    write(path, {"192.0.2.0/24": {"asn": "AS2"}})
    assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS1"}
    table.refresh()
    assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS2"}


async def test_looks_for_a_new_file_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then, off the event loop."""
    monkeypatch.setattr(module, "CHECK_INTERVAL_S", 0.001)
    path = write(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS1"}})
    table = make(path)
    refreshed, loop = asyncio.Event(), asyncio.get_running_loop()
    refresh = table.refresh

    def told() -> None:
        refresh()
        if table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS2"}:
            loop.call_soon_threadsafe(refreshed.set)

    monkeypatch.setattr(table, "refresh", told)
    task = asyncio.create_task(table.run())
    write(path, {"192.0.2.0/24": {"asn": "AS2"}})
    async with asyncio.timeout(30):
        await refreshed.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_broken_new_file_keeps_the_old_one(tmp_path: Path) -> None:
    """With one line in the log and one in the metric, however often it is looked at; the next good
    file is taken."""
    numbers = CollectorRegistry()
    path = write(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS1"}})
    with capture_logs() as lines:
        table = make(path, numbers)
        broken = tmp_path / "broken"
        broken.write_bytes(b"half a file")
        broken.replace(path)
        for _ in range(3):
            table.refresh()
            assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS1"}
        path.unlink()
        table.refresh()
        assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS1"}
        write(path, {"192.0.2.0/24": {"asn": "AS2"}})
        table.refresh()
        assert table.asns(["192.0.2.1"]) == {"192.0.2.1": "AS2"}
    assert [line["event"] for line in lines] == ["asn_db_broken", "asn_db_reloaded"]
    assert numbers.get_sample_value("colotrace_asn_db_failures_total") == 1
    assert (numbers.get_sample_value("colotrace_asn_db_built_timestamp_seconds") or 0) > 1e9


def everywhere(path: Path) -> Path:
    """A file with a record of its own for each of 256 networks all over IPv4."""
    return write(path, {f"{n}.0.0.0/8": {"asn": 64_000 + n, "name": "x" * n} for n in range(256)})


def test_damaged_new_file_keeps_the_old_one(tmp_path: Path) -> None:
    """Also one that can be opened: it is tried at addresses from all over it."""
    path = everywhere(tmp_path / "asn.mmdb")
    table = make(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"name")
    data[at - 1] = 0xFF  # the length of a key
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").replace(path)
    with capture_logs() as lines:
        table.refresh()
    assert [line["event"] for line in lines] == ["asn_db_broken"]
    assert table.asns(["9.0.0.1"]) == {"9.0.0.1": "AS64009"}


def test_writing_into_the_file_or_cutting_it_short_changes_nothing(tmp_path: Path) -> None:
    """It was read once: a mapped file would end the process by SIGBUS."""
    path = everywhere(tmp_path / "asn.mmdb")
    table = make(path)
    os.truncate(path, 10)
    assert table.asns(["9.0.0.1"]) == {"9.0.0.1": "AS64009"}
    table.refresh()
    assert table.asns(["8.0.0.1"]) == {"8.0.0.1": "AS64008"}


def test_no_wrong_byte_does_more_than_cost_asns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is: the file is refused in words, or used as far as it goes."""
    monkeypatch.setattr(module, "SAMPLES", 20)  # there are many files
    path = everywhere(tmp_path / "asn.mmdb")
    sound = path.read_bytes()
    asked = [f"{n}.1.2.3" for n in range(0, 256, 5)] + ["2001:db8::1"]
    random = Random(24)
    damaged, refused, numbers = 0, 0, CollectorRegistry()
    for _ in range(100):
        data = bytearray(sound)
        for _ in range(random.choice((1, 1, 1, 20))):
            data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(data)
        numbers = CollectorRegistry()
        with capture_logs() as lines:
            try:
                table = make(path, numbers)
            except AsnFileError:
                refused += 1
                continue
            table.asns(asked)
        assert len(lines) <= 2
        damaged += bool(numbers.get_sample_value("colotrace_asn_db_failures_total"))
    assert damaged + refused > 5


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
