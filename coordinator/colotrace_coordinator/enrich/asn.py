"""ASNs from any file in MaxMind's database format."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import maxminddb
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.errors import SetupError

CHECK_INTERVAL_S = 60.0

_Stamp = tuple[int, int, int]


class AsnFileError(SetupError):
    """The ASN file cannot be read, and why in words."""


class AsnTable:
    """Looks addresses up in the file, and takes a new file in when it is replaced.

    The file is mapped, not read: replace it by renaming, as update tools do, never by writing
    into it. `clock` gives seconds and never goes back.

    Raises:
        AsnFileError: the file cannot be read at the start. Later the old one is kept instead.
    """

    def __init__(
        self,
        path: Path,
        *,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self._path = path
        self._log = log.bind(asn_db=str(path))
        self._clock = clock
        self._reader, self._stamp = _open(path)
        self._checked_at = clock()
        self._failed_stamp: _Stamp | None = None

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def asns(self, addresses: Iterable[str]) -> dict[str, str]:
        """`"AS13335"` for each address of which the file knows an ASN; others are absent."""
        self._check()
        found = {}
        for address in addresses:
            asn = self._asn(address)
            if asn is not None:
                found[address] = asn
        return found

    def _asn(self, address: str) -> str | None:
        try:
            record = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            # An IPv6 address in a file of IPv4 alone, or a record that is broken.
            return None
        if not isinstance(record, dict):
            return None
        number = record.get("autonomous_system_number", record.get("asn"))
        if isinstance(number, str):
            number = number.removeprefix("AS")
            return f"AS{int(number)}" if number.isascii() and number.isdigit() else None
        # GeoLite2 and its like write 0 for "none".
        return f"AS{number}" if isinstance(number, int) and number > 0 else None

    def _check(self) -> None:
        now = self._clock()
        if now - self._checked_at < CHECK_INTERVAL_S:
            return
        self._checked_at = now
        try:
            stamp = _stamp(self._path)
        except OSError:
            return  # between an update tool's removal and its writing
        if stamp in (self._stamp, self._failed_stamp):
            return
        try:
            reader, self._stamp = _open(self._path)
        except AsnFileError as error:
            self._failed_stamp = stamp
            self._log.warning("asn_db_broken", error=str(error), kept="the file from before")
            return
        self._reader.close()
        self._reader = reader
        self._log.info("asn_db_reloaded")


def _open(path: Path) -> tuple[maxminddb.Reader, _Stamp]:
    try:
        with path.open("rb"):  # says why it cannot be read, which the library does not
            stamp = _stamp(path)
        reader = maxminddb.open_database(os.fspath(path))
    except OSError as error:
        raise AsnFileError(f"cannot read the ASN file {path}: {error.strerror}") from error
    except (maxminddb.InvalidDatabaseError, ValueError, UnicodeError) as error:
        raise AsnFileError(f"{path} is no file in MaxMind's format: {error}") from error
    return reader, stamp


def _stamp(path: Path) -> _Stamp:
    """What differs once the file is another."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
