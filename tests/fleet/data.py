"""A coordinator's data directory with one token: made once by the real command, then copied."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path


def prepare(directory: Path, *, program: Path, account: str) -> str:
    """Fill the directory; the account's token."""
    files, token = _made(program, account)
    for name, content in files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
    return token


@functools.cache
def _made(program: Path, account: str) -> tuple[dict[str, bytes], str]:
    with tempfile.TemporaryDirectory(prefix="colotrace-data-") as made:
        create = [program, "token", "create", "--account", account, "--data", made]
        done = subprocess.run(create, capture_output=True, text=True, timeout=60, check=True)
        files = {each.name: each.read_bytes() for each in Path(made).iterdir()}
        return files, done.stdout.strip()
