"""ASNs of addresses, from a file in MaxMind's format (GeoLite2-ASN, DB-IP, IPinfo and others).

The file may be damaged. It is read into memory by the library's pure Python reader, for two
reasons: the C extension reads past the end of a damaged file, and truncating a mapped file kills
the process. An exception of the reader costs the ASN of one address only.
"""

import asyncio
import ipaddress
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import maxminddb
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.metrics import Metrics

CHECK_INTERVAL_S = 60.0
MAX_REMEMBERED = 100_000
"""Size of the cache. A look-up in the file takes about 20 µs."""
SAMPLES = 256

_Stamp = tuple[int, int, int]


class AsnFileError(SetupError):
    """The ASN file cannot be read; the text has the reason."""


def described(path: Path) -> tuple[int, str]:
    """When the file was built, in Unix seconds, and its damage; "" if none was found.

    Raises:
        AsnFileError: the file cannot be read.
    """
    file = _File(path)
    return file.built, file.damage() or ""


class AsnTable:
    """Looks up addresses in the file, and reloads the file when it is replaced.

    At the start a damaged file is used as far as it can be read. A damaged replacement is not used:
    the previous file stays, and the fault is logged and counted.

    Raises:
        AsnFileError: the file cannot be read at the start.
    """

    def __init__(self, path: Path, *, log: FilteringBoundLogger, metrics: Metrics) -> None:
        self._path = path
        self._log = log.bind(asn_db=str(path))
        self._metrics = metrics
        self._failed_stamp: _Stamp | None = None
        self._file = _File(path)
        self._metrics.asn_db_built.set(self._file.built)
        damage = self._file.damage()
        if damage is not None:
            self._log.warning("asn_db_damaged", error=damage)
            self._metrics.asn_db_failures.inc()

    async def run(self) -> None:
        """Check for a new file periodically, in a thread. Runs until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            await asyncio.to_thread(self.refresh)

    def asns(self, addresses: Iterable[str]) -> dict[str, str]:
        """The ASN of each address, such as "AS13335"; addresses without one are absent."""
        file = self._file
        found = {}
        for address in addresses:
            asn = file.asn(address)
            if asn is not None:
                found[address] = asn
        if file.failures:
            self._count_failures(file)
        return found

    def refresh(self) -> None:
        """Reload the file if it has changed and is not damaged."""
        try:
            stamp = _stamp(self._path.stat())
        except OSError:
            return  # an updater has removed the file and not yet written it
        if stamp in (self._file.stamp, self._failed_stamp):
            return
        try:
            file = _File(self._path)
            damage = file.damage()
        except AsnFileError as error:
            damage = str(error)
        if damage is not None:
            self._failed_stamp = stamp
            self._metrics.asn_db_failures.inc()
            self._log.warning("asn_db_broken", error=damage, kept="the file from before")
            return
        self._file = file
        self._metrics.asn_db_built.set(file.built)
        self._log.info("asn_db_reloaded")

    def _count_failures(self, file: "_File") -> None:
        self._metrics.asn_lookup_failures.inc(file.failures)
        file.failures = 0
        if not file.complained:
            file.complained = True
            self._log.warning("asn_record_damaged", error=file.last_failure)


class _File:
    """One version of the file, with a cache of look-ups.

    Raises:
        AsnFileError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as opened:
                self.stamp = _stamp(os.fstat(opened.fileno()))
                self._reader = maxminddb.open_database(opened, maxminddb.MODE_FD)
        except OSError as error:
            raise AsnFileError(f"cannot read the ASN file {path}: {error.strerror}") from error
        except Exception as error:  # a damaged file can raise anything in the library
            raise AsnFileError(f"{path} is no file in MaxMind's format: {error}") from error
        metadata = self._reader.metadata()
        self.built = _number(metadata.build_epoch)
        self._ipv4_only = metadata.ip_version == 4
        self.failures = 0
        """Records that could not be read since the last count."""
        self.last_failure = ""
        self.complained = False
        self.asn = lru_cache(MAX_REMEMBERED)(self._asn)

    def damage(self) -> str | None:
        """A description of damage found by looking up sample addresses of the whole file; None if
        none was found."""
        for number in range(SAMPLES):
            for address in (
                ipaddress.IPv4Address((number << 32) // SAMPLES),
                ipaddress.IPv6Address((2 << 124) + (number << 125) // SAMPLES),
            ):
                self._asn(str(address))
        failures, self.failures = self.failures, 0
        return f"{failures} of {2 * SAMPLES} lookups: {self.last_failure}" if failures else None

    def _asn(self, address: str) -> str | None:
        if self._ipv4_only and ":" in address:
            return None
        try:
            record = self._reader.get(address)
        except Exception as error:  # noqa: BLE001 - as above: it costs one address's ASN
            self.failures += 1
            self.last_failure = f"{address}: {type(error).__name__}: {error}"[:200]
            return None
        if not isinstance(record, dict):
            return None
        asn = record.get("autonomous_system_number", record.get("asn"))
        # GeoLite2 and others write 0 for "none".
        number = _number(asn.removeprefix("AS") if isinstance(asn, str) else asn)
        return f"AS{number}" if 0 < number < 1 << 32 else None


def _number(value: object) -> int:
    """The number in a field, which is an integer or digits; else 0."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    return value if isinstance(value, int) else 0


def _stamp(status: os.stat_result) -> _Stamp:
    """A value that changes when the file is replaced."""
    return status.st_ino, status.st_mtime_ns, status.st_size
