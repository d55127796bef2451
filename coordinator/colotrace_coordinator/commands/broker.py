"""The command `broker files`: what a broker needs to know the enrolled agents."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from colotrace_proto.certificates import UNREADABLE
from colotrace_proto.service_manager import READY, notify
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from colotrace_coordinator.authority.authority import SERVER_LIFETIME_S, Authority
from colotrace_coordinator.authority.generations import Generations
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

from .broker_notice import Notice, notices
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
    if pid_file is not None and not follow:
        raise SetupError("--pid-file: only --follow signals a process; give --follow, too")

    async def run(database: Database) -> None:
        seal = Seal(secret or (secret_in(secret_file) if secret_file is not None else ""))
        authorities = Authorities(database)
        files = _Files(database, authorities, await authorities.open(seal), seal, out, names)
        try:
            await files.write()
            if follow:
                notify(READY)
                await files.follow(notices(out, pid_file))
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
        authorities: Authorities,
        authority: Generations,
        seal: Seal,
        out: Path,
        names: tuple[str, ...],
    ) -> None:
        self._authorities = authorities
        self._authority = authority
        self._known = KnownAgents(EnrolledAgents(database), by_certificate=True)
        self._seal = seal
        self._out = out
        self._names = names
        self._due = Notice.NOTHING

    async def write(self) -> None:
        """Write what is missing or has changed.

        Raises:
            OSError: a file cannot be read.
            SetupError: a file cannot be written, or the secret is wrong.
            StoreError: the database does not answer.
        """
        await self._known.load()
        await self._authorities.read(self._authority, self._seal)
        users = self._known.named(now=time.time())
        rights = access_rights(users, coordinator=BROKER_USER).encode()
        self._out.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._replace(AUTHORITY, self._authority.certificate, Notice.RESTART)
        if self._is_due(self._authority.signing):
            issued = self._authority.for_server(self._names)
            self._replace(KEY, issued.key, Notice.NOTHING)  # its certificate follows
            self._replace(CERTIFICATE, issued.certificate, Notice.RELOAD)
        self._replace(RIGHTS, rights, Notice.RELOAD)

    async def follow(self, tell: Callable[[Notice], None]) -> None:
        """Write again, and tell the broker, until cancelled. It has to read the files at first in
        any case: it may have missed some."""
        self._due, trouble = max(self._due, Notice.RELOAD), ""
        while True:
            try:
                await self.write()
                if self._due:
                    tell(self._due)
                    log.info("broker_files_written", directory=str(self._out))
                self._due, trouble = Notice.NOTHING, ""
            except (OSError, SetupError, StoreError) as error:
                if trouble != str(error):
                    log.warning("broker_not_up_to_date", detail=str(error))
                trouble = str(error)
            await asyncio.sleep(LOOK_EVERY_S)

    def _is_due(self, authority: Authority) -> bool:
        """Whether the broker's certificate or its key is missing, they do not belong together, or
        the certificate is of another CA, for other names, or past half of its life."""
        try:
            found = x509.load_pem_x509_certificate((self._out / CERTIFICATE).read_bytes())
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            key = load_pem_private_key((self._out / KEY).read_bytes(), password=None)
            fits = key.public_key() == found.public_key()
        except (FileNotFoundError, x509.ExtensionNotFound, *UNREADABLE):
            return True
        left_s = found.not_valid_after_utc.timestamp() - time.time()
        texts = {str(each.value) for each in names}
        return (
            not fits
            or not authority.has_signed(found)
            or texts != set(self._names)
            or not SERVER_LIFETIME_S / 2 < left_s <= SERVER_LIFETIME_S
        )

    def _replace(self, name: str, content: bytes, notice: Notice) -> None:
        """Write a file if it is not as it should be; the broker then gets the notice."""
        file = self._out / name
        if file.exists() and file.read_bytes() == content:
            return
        # The broker reads it through the directory's group.
        with written_whole(file, mode=0o640) as opened:
            opened.write(content)
        self._due = max(self._due, notice)
