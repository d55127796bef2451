"""The state directory, and the certificate in it."""

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from colotrace_proto.certificates import UNREADABLE
from colotrace_proto.enrolment import JOIN_ANEW, RENEWABLE_S
from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.spans import span
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_LEAST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryFacts:
    """`uid` owns the directory; `open` are its files that others may read or write."""

    path: Path
    uid: int
    mode: int
    open: tuple[str, ...]
    foreign: tuple[str, ...]
    free: int


def facts_of(path: Path) -> DirectoryFacts:
    """The facts; root may always look.

    Raises:
        OSError: it cannot be looked at.
    """
    status = path.stat()
    disk = os.statvfs(path)
    files = {each.name: each.stat() for each in sorted(path.iterdir()) if each.is_file()}
    return DirectoryFacts(
        path=path,
        uid=status.st_uid,
        mode=stat.S_IMODE(status.st_mode),
        open=tuple(name for name, each in files.items() if each.st_mode & 0o077),
        foreign=tuple(name for name, each in files.items() if each.st_uid != status.st_uid),
        free=disk.f_bavail * disk.f_frsize,
    )


def judge_directory(facts: DirectoryFacts, *, runs_as: int) -> list[Finding]:
    """`runs_as`: the user of the agent."""
    check = "state directory"
    found = []
    if facts.uid != runs_as:
        found.append(
            fail(
                check,
                f"{facts.path} belongs to user {facts.uid}, the agent runs as {runs_as}",
                f"chown -R {runs_as} {facts.path}, or give that user by --user",
            )
        )
    if facts.foreign:
        found.append(
            fail(
                check,
                f"{', '.join(facts.foreign)} in {facts.path} belong to other users",
                f"chown -R {facts.uid} {facts.path}",
            )
        )
    if facts.mode & 0o077 or facts.open:
        what = f"{facts.path} (mode {facts.mode:o})" if facts.mode & 0o077 else facts.open[0]
        found.append(
            warn(
                check,
                f"other users of this host can open {what}",
                f"chmod 700 {facts.path}; chmod 600 {facts.path}/*",
            )
        )
    if facts.free < _LEAST_BYTES:
        found.append(
            fail(
                "disk",
                f"{facts.free} bytes free for {facts.path}: a renewed certificate does not fit",
                "free some space",
            )
        )
    return found or [ok(check, f"{facts.path}, of user {facts.uid} alone")]


def certificate(certificate_pem: bytes, key_pem: bytes, *, renew_at: float | None) -> list[Finding]:
    """Judge the agent's certificate. `renew_at`: when it is to be renewed; None if it is of another
    CA."""
    check = "this agent's certificate"
    try:
        read = x509.load_pem_x509_certificate(certificate_pem)
        key = load_pem_private_key(key_pem, password=None)
    except UNREADABLE as error:
        return [fail(check, f"or its key cannot be read: {error}", _replace(renew_at))]
    if key.public_key() != read.public_key():
        return [fail(check, "does not belong to the key", _replace(renew_at))]
    return [
        judge_validity(
            begins_at=read.not_valid_before_utc.timestamp(),
            ends_at=read.not_valid_after_utc.timestamp(),
            renew_at=renew_at,
            now=time.time(),
        )
    ]


def judge_validity(
    *, begins_at: float, ends_at: float, renew_at: float | None, now: float
) -> Finding:
    """Judge when it is valid, and whether it was renewed in time."""
    check = "this agent's certificate"
    if begins_at > now:
        return fail(
            check,
            f"is valid only in {span(begins_at - now)} by this host's clock",
            "set the clock of this host: it is behind",
        )
    if ends_at < now:
        ago = f"has ended {span(now - ends_at)} ago by this host's clock"
        if renew_at is not None and now - ends_at < RENEWABLE_S:
            return fail(
                check, ago, "check the clock, then restart the agent: it renews at its start"
            )
        return fail(check, ago, _replace(renew_at))
    left = f"ends in {span(ends_at - now)}"
    if renew_at is not None:
        # The agent varies the time by a tenth of the life, and tries again every hour.
        late_s = now - renew_at - 0.1 * 2 * (ends_at - renew_at) - 3_600
        if late_s > 0:
            return warn(
                check,
                f"{left}; its renewal is {span(late_s)} late",
                "see the finding on renewal; the agent's log has the reason as `certificate not "
                "renewed`, and the agent must run",
            )
        return ok(check, f"{left}, is renewed in {span(renew_at - now)}")
    if ends_at - now < 14 * 86_400:
        return warn(check, left, "replace the files of --tls-cert and --tls-key")
    return ok(check, left)


def _replace(renew_at: float | None) -> str:
    if renew_at is None:
        return "replace the files of --tls-cert and --tls-key"
    return JOIN_ANEW
