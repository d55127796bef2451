"""A PostgreSQL server of Debian's package, for tests."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import access
from needs import need

# On Debian the server's programs are not on PATH.
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@contextmanager
def postgresql_server() -> Iterator[str]:
    """A server on a UNIX socket; its URL."""
    initdb = tool("initdb")
    # PostgreSQL refuses to run as root.
    user, begin = None, []
    if access.is_root():
        user = next((u for u in ("postgres", "nobody") if _exists(u)), None)
    elif os.geteuid() == 0:  # of a user namespace without other users: tests/lab/enter.py
        begin = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    # Short, because the path of a UNIX socket has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="ctpg-", dir="/tmp"))
    try:
        if user:
            shutil.chown(directory, user)
        data = directory / "data"
        _run([*begin, initdb, "-D", data, "-U", "colotrace", "-A", "trust", "--no-sync"], user)
        server = subprocess.Popen(
            [
                *begin,
                initdb.with_name("postgres"),
                *("-D", data, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off"),
            ],
            user=user,
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stderr is not None
            for line in server.stderr:
                if "ready to accept connections" in line:
                    break
            else:
                pytest.fail("PostgreSQL did not start")
            yield f"postgresql://colotrace@/postgres?host={directory}"
        finally:
            server.terminate()
            try:
                server.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.communicate()
    finally:
        shutil.rmtree(directory)


def tool(name: str) -> Path:
    """A program of the newest installed server, which the test needs."""
    found = next((p / name for p in _PROGRAMS if (p / name).exists()), None)
    need(None if found else "PostgreSQL's server is not installed (Debian: postgresql)")
    assert found is not None
    return found


def _run(command: list[str | Path], user: str | None) -> None:
    subprocess.run(command, user=user, check=True, capture_output=True, cwd="/")


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
