"""The database, its disk, and the secret of the CA's key."""

import os
import stat
from pathlib import Path

from colotrace_proto.findings import Finding, fail, ok, warn

from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.errors import CoordinatorError
from colotrace_coordinator.settings import OwnAuthority
from colotrace_coordinator.store.authorities import kept_secret
from colotrace_coordinator.store.inspection import DatabaseFacts, inspect, trusted_authorities
from colotrace_coordinator.store.location import Location, is_there
from colotrace_coordinator.store.schema import HEAD, is_known

_CHECK_S = 3.0
_SLOW_MS = 100.0
_APART_S = 2.0
_LEAST_BYTES = 16 << 20
_LEAST_INODES = 100
_RESTORE = (
    "stop the coordinator, and restore a backup: colotrace-coordinator restore FILE --replace"
)


def database(location: Location) -> list[Finding]:
    """Whether the database answers, its schema, and its content."""
    check = "database"
    if location.file is not None and not is_there(location.file):
        return [
            warn(check, f"there is no {location.file} yet", "serve creates it; or correct --data")
        ]
    try:
        facts = inspect(location, check_s=_CHECK_S)
    except CoordinatorError as error:
        remedy = (
            "run this as root or the coordinator's user; if the file is damaged, restore a backup"
            if location.file is not None
            else "check that the server runs, its pg_hba.conf, and the URL of --database"
        )
        return [fail(check, str(error), remedy)]
    return judge(str(location), facts, owners=_owners(location.file))


def judge(where: str, facts: DatabaseFacts, *, owners: tuple[str, str] | None) -> list[Finding]:
    """`owners` of the file and of its directory, if they differ."""
    found = [_schema(where, facts)]
    if facts.damage:
        found.append(fail("database content", f"{where} is damaged: {facts.damage}", _RESTORE))
    elif facts.damage is None:
        found.append(ok("database content", f"no damage found in {_CHECK_S:g} s, in a part of it"))
    if facts.latency_ms > _SLOW_MS:
        found.append(
            warn(
                "database latency",
                f"{facts.latency_ms:.0f} ms for one answer",
                "move the database nearer, or give its host more power",
            )
        )
    if abs(facts.clock_ahead_s) > _APART_S:
        found.append(
            warn(
                "database clock",
                f"{abs(facts.clock_ahead_s):.0f} s {_ahead(facts.clock_ahead_s)} this host's",
                "synchronise both clocks (chrony, systemd-timesyncd)",
            )
        )
    if owners is not None:
        found.append(
            warn(
                "database owner",
                f"{where} belongs to {owners[0]}, its directory to {owners[1]}",
                f"chown {owners[1]} {where}*",
            )
        )
    return found


def disk(location: Location, *, keep_bytes: int) -> list[Finding]:
    """Whether there is room for what is kept."""
    if location.file is None:
        return []
    directory = location.file.parent
    while not is_there(directory) and directory != directory.parent:
        directory = directory.parent
    status = os.statvfs(directory)
    used = location.file.stat().st_size if is_there(location.file) else 0
    return [
        judge_disk(
            str(directory),
            free=status.f_bavail * status.f_frsize,
            inodes=status.f_favail if status.f_files else None,
            used=used,
            keep_bytes=keep_bytes,
        )
    ]


def judge_disk(where: str, *, free: int, inodes: int | None, used: int, keep_bytes: int) -> Finding:
    """`free` bytes and inodes of the file system (None: it has no bound), `used` by the
    database."""
    check = "disk"
    words = f"{_size(free)} free for {where}; the database has {_size(used)}"
    if free < _LEAST_BYTES or (inodes is not None and inodes < _LEAST_INODES):
        what = words if free < _LEAST_BYTES else f"{where} has no inodes left"
        return fail(check, what, "free some space, or move --data to a larger disk")
    more = keep_bytes - used
    if more > free:
        return warn(
            check,
            f"{words}, and may grow to {_size(keep_bytes)}",
            f"give --keep-bytes {max(used + free * 9 // 10, 1 << 20)} at most, or a larger disk",
        )
    return ok(check, words)


def authority_key(location: Location, wanted: OwnAuthority) -> list[Finding]:
    """Whether the secret opens the CA's key."""
    check = "CA's key"
    if not is_current(location):
        return []
    stored = trusted_authorities(location)
    if not stored:
        return [ok(check, "there is no CA yet; serve creates it")]
    remedy = (
        f"put the secret of the coordinator that made this database into {wanted.secret_file}, or "
        "into the variable COLOTRACE_CA_SECRET"
    )
    try:
        secret = wanted.secret or kept_secret(wanted.secret_file)
        if not secret:
            return [fail(check, f"its secret is missing: no {wanted.secret_file}", remedy)]
        seal = Seal(secret)
        for each in stored:
            Authority.load(each.certificate, seal.open(each.sealed_key))
    except CoordinatorError as error:
        return [fail(check, str(error), remedy)]
    found = [ok(check, "the secret opens it")]
    if not wanted.secret and wanted.secret_file is not None:
        mode = stat.S_IMODE(wanted.secret_file.stat().st_mode)
        if mode & 0o077:
            found.append(
                warn(
                    "CA's secret",
                    f"{wanted.secret_file} can be read by others (mode {mode:o})",
                    f"chmod 600 {wanted.secret_file}",
                )
            )
    return found


def _schema(where: str, facts: DatabaseFacts) -> Finding:
    check = "database"
    words = f"{where} answers in {facts.latency_ms:.1f} ms, {_size(facts.size)}"
    if facts.revision == HEAD:
        return ok(check, f"{words}, schema {HEAD}")
    if facts.revision is None:
        return warn(check, f"{words}, has no tables of ours", "serve creates them")
    if is_known(facts.revision):
        return warn(
            check,
            f"{words}, has schema {facts.revision} of an older version",
            "back it up, and start this version: it migrates to schema " + HEAD,
        )
    return fail(
        check,
        f"{words}, has schema {facts.revision} of a newer colotrace than this program",
        "upgrade this program, or restore a backup that it made",
    )


def is_current(location: Location) -> bool:
    """Whether the tables are those of this program; another finding says if not."""
    if location.file is not None and not is_there(location.file):
        return False
    try:
        return inspect(location, check_s=0).revision == HEAD
    except CoordinatorError:
        return False


def _owners(file: Path | None) -> tuple[str, str] | None:
    if file is None:
        return None
    own, above = file.stat().st_uid, file.parent.stat().st_uid
    return None if own == above else (str(own), str(above))


def _ahead(seconds: float) -> str:
    return "ahead of" if seconds > 0 else "behind"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:.1f} MiB"
