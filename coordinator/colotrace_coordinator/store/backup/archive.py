"""The backup file: a ZIP archive that is written and read in one pass, in bounded memory.

`NAME.rows` has the rows of a table: frames of a length and a CRC-32 (4 bytes each, big-endian), and
so many bytes of MessagePack: an array of rows, each an array of the columns' values. The CRC is
checked before anything is decoded. `manifest.json` comes last: the version of this format and of
the schema, and of each table its columns, the number of its rows and the SHA-256 hash of its
member.
"""

import hashlib
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import msgspec

from colotrace_coordinator.errors import StoreError

FORMAT = 1
_MANIFEST, _SUFFIX = "manifest.json", ".rows"
_FRAME = struct.Struct(">II")
_LENGTH = struct.Struct(">I")
_FRAME_BYTES = 256 << 10
"""Rows are put together up to about this size."""
_MOST_FRAME_BYTES = 1 << 30
_MOST_MANIFEST_BYTES = 1 << 20
# Also of archives that this program did not make: encrypted ones (RuntimeError), with another
# compression, or with arrays inside of arrays a thousand times (RecursionError).
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, RuntimeError),
)

Row = Sequence[Any]


class BackupFileError(StoreError):
    """A backup cannot be used: it is damaged, or of a newer version."""


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A table in the manifest."""

    name: str
    columns: list[str]
    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup has. `schema` is the revision of its tables, `version` that of the program,
    `made_at` in Unix seconds, and `origin` the database's dialect."""

    format: int
    schema: str
    version: str
    made_at: int
    origin: str
    tables: list[TableEntry]

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)


class ArchiveWriter:
    """Writes a backup to a file, which need not be seekable."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._tables: list[TableEntry] = []
        self.rows = 0
        """Rows that were written until now."""

    @contextmanager
    def table(self, name: str, columns: Sequence[str]) -> Iterator[Callable[[Row], None]]:
        """Begin a table; yields what adds a row to it."""
        digest, count, size = hashlib.sha256(), 0, 0
        batch: list[bytes] = []
        encode = msgspec.msgpack.Encoder().encode

        def flush() -> None:
            nonlocal size
            # The rows are encoded already: an array is its head and they.
            frame = _array_head(len(batch)) + b"".join(batch)
            for part in (_FRAME.pack(len(frame), zlib.crc32(frame)), frame):
                digest.update(part)
                member.write(part)
            batch.clear()
            size = 0

        def add(row: Row) -> None:
            nonlocal count, size
            batch.append(encode(list(row)))
            count, size = count + 1, size + len(batch[-1])
            self.rows += 1
            if size >= _FRAME_BYTES:
                flush()

        with self._zip.open(name + _SUFFIX, "w", force_zip64=True) as member:
            yield add
            if batch:
                flush()
        self._tables.append(
            TableEntry(
                name=str(name),  # SQLAlchemy's names are a subclass
                columns=[str(column) for column in columns],
                rows=count,
                sha256=digest.hexdigest(),
            )
        )

    def finish(self, *, schema: str, version: str, made_at: float, origin: str) -> Manifest:
        """Write the manifest, and end the archive."""
        manifest = Manifest(
            format=FORMAT,
            schema=schema,
            version=version,
            made_at=int(made_at),
            origin=origin,
            tables=self._tables,
        )
        text = json.dumps(msgspec.to_builtins(manifest), indent=2)
        self._zip.writestr(_MANIFEST, text + "\n")
        self._zip.close()
        return manifest

    def abandon(self) -> None:
        """Write no more, after an error."""
        with suppress(OSError, ValueError):
            self._zip.close()


class ArchiveReader:
    """Reads a backup from a seekable file."""

    def __init__(self, file: IO[bytes], *, name: str) -> None:
        """`name` is the file's, for messages.

        Raises:
            BackupFileError: it is no backup, is damaged, or of a newer version.
        """
        self._name = name
        with self._damage():
            self._zip = zipfile.ZipFile(file)
            info = self._zip.getinfo(_MANIFEST)
            if info.file_size > _MOST_MANIFEST_BYTES:
                raise zipfile.BadZipFile("its manifest is too large")
            text = self._zip.read(info)
            self._check_format(text)
            self.manifest = msgspec.json.decode(text, type=Manifest)

    def batches(self, table: TableEntry) -> Iterator[list[list[Any]]]:
        """The rows of a table, some at a time.

        Raises:
            BackupFileError: the rows are not as they were written; some may have been yielded.
        """
        digest, count = hashlib.sha256(), 0
        decode = msgspec.msgpack.Decoder(list[list[Any]]).decode
        with self._damage(), self._zip.open(table.name + _SUFFIX) as member:
            while head := _exactly(member, _FRAME.size):
                length, checksum = _FRAME.unpack(head)
                if length > _MOST_FRAME_BYTES:
                    raise zipfile.BadZipFile("a frame is too long")
                frame = _exactly(member, length)
                if zlib.crc32(frame) != checksum:
                    raise zipfile.BadZipFile(f"a checksum of {table.name} is wrong")
                digest.update(head)
                digest.update(frame)
                rows = decode(frame)
                count += len(rows)
                yield rows
            if digest.hexdigest() != table.sha256 or count != table.rows:
                raise zipfile.BadZipFile(f"the checksum of {table.name} is wrong")

    def _check_format(self, text: bytes) -> None:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("format")
        if isinstance(found, int) and found > FORMAT:
            raise BackupFileError(
                f"{self._name}: this backup is of a newer colotrace than this one; upgrade this "
                "program"
            )

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (*_DAMAGED, KeyError) as error:
            raise BackupFileError(
                f"{self._name}: this is no backup of colotrace, or it is cut off or damaged "
                f"({error}); use another one"
            ) from error


def _exactly(member: IO[bytes], length: int) -> bytes:
    data = member.read(length)
    if data and len(data) < length:
        raise EOFError("a table is cut off")
    return data


def _array_head(length: int) -> bytes:
    return b"\xdd" + _LENGTH.pack(length)
