"""A shell in a booted host that goes on from command to command, as a person's terminal does."""

from __future__ import annotations

import secrets
import select
import subprocess
import time

from installed.roots import Root, RootError


class Shell:
    """A login shell of a user. Both outputs of its commands come together, as in a terminal."""

    def __init__(self, root: Root, user: str) -> None:
        self._name = f"{user}@{root.name}"
        self._process = subprocess.Popen(
            root.inside("runuser", "--login", user, "--command", "exec bash 2>&1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._unread = b""

    def close(self) -> None:
        """End the shell, and what still runs in it."""
        self._process.kill()
        self._process.communicate()

    def type(self, command: str, *, timeout: float = 120) -> str:
        """Run a command and wait for its end; what it printed.

        Raises RootError if it fails or takes longer than `timeout` seconds.
        """
        mark = secrets.token_hex(8)
        assert self._process.stdin
        # ssh would read what is typed next.
        typed = f"{{ {command}\n}} < /dev/null\nprintf '\\n{mark} %s\\n' $?\n"
        self._process.stdin.write(typed.encode())
        self._process.stdin.flush()
        printed, status = self._until(mark.encode(), time.monotonic() + timeout, command)
        if status:
            raise RootError(f"{self._name}: {command}: exit {status}\n{printed[-3000:]}")
        return printed

    def _until(self, mark: bytes, deadline: float, command: str) -> tuple[str, int]:
        assert self._process.stdout
        while True:
            before, found, after = self._unread.partition(mark)
            if found and b"\n" in after:
                line, _, self._unread = after.partition(b"\n")
                return before.decode(errors="replace").removesuffix("\n"), int(line)
            left = deadline - time.monotonic()
            readable = select.select([self._process.stdout], [], [], max(left, 0))[0]
            data = self._process.stdout.read1(65536) if readable else b""  # type: ignore[attr-defined]
            if not data:
                shown = self._unread.decode(errors="replace")[-3000:]
                what = "no end in time" if not readable else "the shell has ended"
                raise RootError(f"{self._name}: {command}: {what}\n{shown}")
            self._unread += data
