"""A coordinator's data directory with one token: made once by the real command, then copied."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

from lab import programs


def prepare(directory: Path, *, program: Path, account: str) -> str:
    """Fill the directory; the account's token."""
    files, token = _made(program, account)
    for name, content in files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
    return token


@functools.cache
def _made(program: Path, account: str) -> tuple[dict[str, bytes], str]:
    with (
        tempfile.TemporaryDirectory(prefix="colotrace-data-") as made,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        create = [program, "token", "create", "--account", account, "--data", made]
        process = programs.start(create, env=dict(os.environ), stdout=out, stderr=err)
        if process.wait(60):
            err.seek(0)
            raise RuntimeError(err.read())
        out.seek(0)
        files = {each.name: each.read_bytes() for each in Path(made).iterdir()}
        return files, out.read().strip()
