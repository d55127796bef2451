"""The directory in which an enrolled agent keeps what it needs to run.

`settings.json` says who the agent is and how it runs, `agent.pem` has its key and certificate, and
`ca.pem` the certificate of the coordinator's CA. Each file is replaced as a whole, so that a crash
leaves the old one or the new one.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from colotrace_proto.enrolment import Certified
from colotrace_proto.identifiers import is_address, is_colo_name, is_identifier

from colotrace_agent.errors import StartError
from colotrace_agent.host.accounts import Account

_SETTINGS, _AGENT, _AUTHORITY = "settings.json", "agent.pem", "ca.pem"
_KEY = "new.key"
_OWN = {_SETTINGS, _AGENT, _AUTHORITY, _KEY}
_PART = ".part"
_OF_ROOT = Path("/var/lib/colotrace-agent")
_VERSION = 1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent runs: flags of `join`, as texts of the command line."""

    tags: list[str] = []
    location: str = ""
    rate: float | None = None
    allow_private: bool = False
    max_jobs: int | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `settings.json` holds. `join` is where certificates are renewed, and `coordinator` where
    the agent attaches, both HOST:PORT. `mqtt` is the URL of the broker at which it takes jobs, ""
    for none, and `mqtt_ca` the CA of the broker's certificate, PEM, "" for the coordinator's. Times
    are Unix seconds."""

    version: int
    colo: str
    city: str
    agent_id: str
    coordinator: str
    join: str
    certified_at: float
    ends_at: float
    options: Options
    mqtt: str = ""
    mqtt_ca: str = ""

    @property
    def renew_at(self) -> float:
        """At half of the certificate's life."""
        return (self.certified_at + self.ends_at) / 2


class StateDirectory:
    """Reads and writes the directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def agent(self) -> Path:
        """The PEM file with the agent's key and certificate."""
        return self.path / _AGENT

    @property
    def authority(self) -> Path:
        """The PEM file with the CA's certificate."""
        return self.path / _AUTHORITY

    @property
    def is_enrolled(self) -> bool:
        """Whether an agent has joined."""
        return (self.path / _SETTINGS).exists()

    def prepare(self, account: Account | None) -> None:
        """Create the directory, readable by its owner only: the user that the agent runs as.

        Raises:
            StartError: that is not possible.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if account is not None:
                self._hand_over(account)
            elif self.path.stat().st_uid == os.geteuid():
                self.path.chmod(0o700)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(None, "not writable by this user")
        except OSError as error:
            raise StartError(
                f"--state-dir {self.path}: {error.strerror}; give a directory that this user may "
                "write"
            ) from error

    def _hand_over(self, account: Account) -> None:
        """Make the account the owner. Nothing of others is handed over with it: a symbolic link
        could lead anywhere, and a directory that is in use could be that of another program."""
        if self.path.is_symlink():
            raise StartError(
                f"--state-dir {self.path}: is a symbolic link; give the directory that it leads to"
            )
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            owner = os.fstat(handle).st_uid
            if owner not in (0, account.uid):
                raise StartError(
                    f"--state-dir {self.path}: belongs to another user than the agent will run as; "
                    "give a new directory, or that user by --user"
                )
            names = os.listdir(handle)  # noqa: PTH208 - pathlib cannot list an open directory
            others = {name.removesuffix(_PART) for name in names} - _OWN
            if owner != account.uid and others:
                raise StartError(
                    f"--state-dir {self.path}: has other files; give a directory for the agent "
                    "alone"
                )
            os.fchown(handle, account.uid, account.gid)
            os.fchmod(handle, 0o700)
        finally:
            os.close(handle)

    def check_access(self) -> None:
        """Check that the user as which the agent runs now can read and replace the files.

        Raises:
            StartError: it cannot.
        """
        if not self._is_usable():
            raise self._unusable(os.geteuid())

    def check_access_of(self, account: Account) -> None:
        """Check the same for the user as which root will run the agent, before a join token is
        spent.

        Raises:
            StartError: it cannot.
        """
        child = os.fork()
        if child == 0:
            usable = False
            try:
                os.setgroups([])
                os.setgid(account.gid)
                os.setuid(account.uid)
                usable = self._is_usable()
            finally:
                os._exit(0 if usable else 1)
        if os.waitpid(child, 0)[1] != 0:
            raise self._unusable(account.uid)

    def _is_usable(self) -> bool:
        return os.access(self.path, os.R_OK | os.W_OK | os.X_OK)

    def _unusable(self, uid: int) -> StartError:
        return StartError(
            f"--state-dir {self.path}: the agent runs as user {uid}, which cannot use it; give a "
            "directory that this user may write and reach (each one above must let it pass), or "
            "another --user"
        )

    def settings(self) -> Settings:
        """The settings.

        Raises:
            StartError: no agent has joined, or the file cannot be used.
        """
        file = self.path / _SETTINGS
        try:
            settings = msgspec.json.decode(file.read_bytes(), type=Settings)
        except FileNotFoundError:
            raise StartError(
                f"--state-dir {self.path}: no agent has joined here; paste the line that "
                "colotrace-coordinator agent enroll prints"
            ) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise StartError(f"{file} cannot be read: {error}") from error
        if settings.version != _VERSION or not _is_valid(settings):
            raise StartError(f"{file} is of another version of colotrace, or damaged; join anew")
        return settings

    def pending_key(self) -> bytes | None:
        """The key of a certificate that was asked for, PEM: the answer may have been lost."""
        try:
            # Root must not be led to the key of another program by a symbolic link.
            handle = os.open(self.path / _KEY, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def keep_pending_key(self, key: bytes) -> None:
        """Write the key before a certificate is asked for it."""
        self._write(_KEY, key)

    def keep_authority(self, certificate: bytes) -> None:
        """Write the CA's certificate, PEM."""
        self._write(_AUTHORITY, certificate)

    def keep(self, certified: Certified, key: bytes, *, settings: Settings) -> None:
        """Write a certificate with its key, the CA to trust, and the settings last: they say that
        all is there."""
        if certified.authority:
            self._write(_AUTHORITY, certified.authority.encode())
        self._write(_AGENT, key + certified.certificate.encode())
        self._write(_SETTINGS, msgspec.json.format(msgspec.json.encode(settings), indent=2))
        (self.path / _KEY).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        part = self.path / f"{name}{_PART}"
        # A new file always: root must not write through a link that the directory's owner has made.
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            if os.geteuid() == 0:
                owner = self.path.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path / name)


def settings_of(certified: Certified, *, join: str, now: float, options: Options) -> Settings:
    """The settings of an agent that has joined at `join`."""
    return Settings(
        version=_VERSION,
        colo=certified.colo,
        city=certified.city,
        agent_id=certified.agent_id,
        coordinator=certified.coordinator,
        join=join,
        certified_at=now,
        ends_at=certified.ends_at,
        options=options,
        mqtt=certified.mqtt,
        mqtt_ca=certified.mqtt_ca,
    )


def default_directory() -> Path:
    """The directory of the service's agent, of root's, or of this user's."""
    # Of a systemd unit with StateDirectory=; it may name several.
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service.partition(":")[0])
    if os.geteuid() == 0:
        return _OF_ROOT
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "colotrace-agent"


def _is_valid(settings: Settings) -> bool:
    return (
        is_colo_name(settings.colo)
        and is_identifier(settings.agent_id)
        and is_address(settings.coordinator)
        and is_address(settings.join)
    )
