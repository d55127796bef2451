"""The command `broker files`: what a broker needs to know the enrolled agents."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import structlog
from colotrace_proto.service_manager import READY, notify
from cryptography import x509

from colotrace_coordinator.authority.authority import SERVER_LIFETIME_S, Authority
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.enrolment.known import KnownAgents
from colotrace_coordinator.enrolment.own_certificate import BROKER_USER
from colotrace_coordinator.errors import SetupError, StoreError
from colotrace_coordinator.links.mqtt.rights import access_rights
from colotrace_coordinator.store.authorities import Authorities, secret_in
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.durable import written_whole
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.location import Location

from .opened import on_database

AUTHORITY, CERTIFICATE, KEY, RIGHTS = "ca.pem", "broker.pem", "broker.key", "acl"
LOOK_EVERY_S = 1.0

log = structlog.get_logger("colotrace_coordinator")


def write_files(
    where: Location,
    *,
    secret: str,
    secret_file: Path | None,
    out: Path,
    names: tuple[str, ...],
    follow: bool,
    pid_file: Path | None,
) -> None:
    """Write the files, and with `follow` write them again whenever the agents have changed.

    Raises:
        SetupError: a file cannot be written, or the secret is wrong.
        StoreError: the database cannot be used.
    """
    if not secret and secret_file is None:
        raise SetupError("give the secret of the CA's key: --ca-secret-file, COLOTRACE_CA_SECRET")

    async def run(database: Database) -> None:
        seal = Seal(secret or (secret_in(secret_file) if secret_file is not None else ""))
        files = _Files(database, seal, out, names, pid_file)
        try:
            await files.write()
            if follow:
                notify(READY)
                await files.follow()
        except OSError as error:
            raise SetupError(
                f"--out {error.filename or out}: {error.strerror}; give a directory that this user "
                "may write, on a disk that has space"
            ) from error

    with contextlib.suppress(KeyboardInterrupt):
        on_database(where, run, makes=True)


class _Files:
    """The files in a directory, each of which is replaced as a whole."""

    def __init__(
        self,
        database: Database,
        seal: Seal,
        out: Path,
        names: tuple[str, ...],
        pid_file: Path | None,
    ) -> None:
        self._authorities = Authorities(database)
        self._known = KnownAgents(EnrolledAgents(database), by_certificate=True)
        self._seal = seal
        self._out = out
        self._names = names
        self._pid_file = pid_file

    async def write(self) -> bool:
        """Write what is missing or has changed. Whether anything has."""
        await self._known.load()
        authority = await self._authorities.open(self._seal)
        users = self._known.named(now=time.time())
        rights = access_rights(users, coordinator=BROKER_USER).encode()
        self._out.mkdir(mode=0o750, parents=True, exist_ok=True)
        changed = self._replace(AUTHORITY, authority.certificate)
        if self._is_due(authority.signing):
            issued = authority.for_server(self._names)
            self._replace(KEY, issued.key)
            changed |= self._replace(CERTIFICATE, issued.certificate)
        return self._replace(RIGHTS, rights) or changed

    async def follow(self) -> None:
        """Write again, and tell the broker, until cancelled."""
        self._tell()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if await self.write():
                    log.info("broker_files_written", directory=str(self._out))
                    self._tell()
            except StoreError as error:
                log.warning("broker_files_not_written", detail=str(error))

    def _is_due(self, authority: Authority) -> bool:
        """Whether the broker's certificate is missing, of another CA or for other names, or is past
        half of its life."""
        try:
            found = x509.load_pem_x509_certificate((self._out / CERTIFICATE).read_bytes())
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
            return True
        left_s = found.not_valid_after_utc.timestamp() - time.time()
        texts = {str(each.value) for each in names}
        return (
            not (self._out / KEY).exists()
            or not authority.has_signed(found)
            or texts != set(self._names)
            or not SERVER_LIFETIME_S / 2 < left_s <= SERVER_LIFETIME_S
        )

    def _replace(self, name: str, content: bytes) -> bool:
        file = self._out / name
        if file.exists() and file.read_bytes() == content:
            return False
        # The broker reads it through the directory's group.
        with written_whole(file, mode=0o640) as opened:
            opened.write(content)
        return True

    def _tell(self) -> None:
        if self._pid_file is None:
            return
        try:
            os.kill(process_in(self._pid_file), signal.SIGHUP)
        except (OSError, ValueError) as error:
            log.warning("broker_not_told", file=str(self._pid_file), detail=str(error))


def process_in(file: Path) -> int:
    """The process that the file names. If a user other than root wrote it, that user's: root would
    otherwise signal any process for the broker's user, and by -1 all of them.

    Raises:
        OSError: the file cannot be read, or there is no such process.
        ValueError: it names no process, or one of another user.
    """
    with file.open() as opened:
        text, writer = opened.read(32), os.fstat(opened.fileno()).st_uid
    pid = int(text)
    if pid <= 1:
        raise ValueError(f"{pid} is no process of a broker")
    owner = Path(f"/proc/{pid}").stat().st_uid
    if writer not in (0, owner):
        raise ValueError(f"process {pid} is not of the user who wrote the file")
    return pid
