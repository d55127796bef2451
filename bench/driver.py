"""Client of a helper process inside a namespace: one line of JSON for each request and answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forked import Forked, Piped, Request, shared
from lab import Process
from lab.programs import MODULES

from bench.figures import BenchError

Spawn = Callable[..., Process | Piped]
"""`Lab.spawn` of a host: (argv, stdin=, stdout=)."""

_HERE = Path(__file__).parent
_STDERR = 2


class Driver:
    """A helper process. It ends when its input closes, so also when this process dies."""

    def __init__(self, spawn: Spawn, argv: Sequence[str | Path]) -> None:
        self._process = spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._hear()

    @classmethod
    def plain(cls, spawn: Spawn) -> Driver:
        """A helper that starts programs and sends HTTP requests; see `inside`."""
        return cls(spawn, [sys.executable, "-I", "-S", _HERE / "inside.py"])

    @classmethod
    def engine(cls, spawn: Spawn) -> Driver:
        """A helper with a running engine; see `inside_engine`."""
        return cls(spawn, [sys.executable, _HERE / "inside_engine.py"])

    @classmethod
    def agent(cls, spawn: Spawn, *flags: str) -> Driver:
        """A helper with a `colotrace-agent run` attached to it; see `inside_agent`."""
        return cls(spawn, [sys.executable, _HERE / "inside_agent.py", *flags])

    @classmethod
    def fleet(cls, spawn: Spawn | None, *flags: str | Path, **namespaces: str) -> Driver:
        """A helper that simulates many agents; see `tests/load/agents.py`. Without `spawn` it is
        forked, into these namespaces."""
        if spawn is None:
            return cls.forked("load.agents", *flags, **namespaces)
        tests = f"PYTHONPATH={_HERE.parent / 'tests'}"
        return cls(spawn, ["env", tests, sys.executable, "-m", "load.agents", *flags])

    @classmethod
    def load(cls, spawn: Spawn) -> Driver:
        """A helper that simulates many clients of the API; see `inside_load`."""
        return cls(spawn, [sys.executable, _HERE / "inside_load.py"])

    @classmethod
    def history(cls, spawn: Spawn) -> Driver:
        """A helper that keeps measurements in SQLite; see `inside_history`."""
        tests = f"PYTHONPATH={_HERE.parent / 'tests'}"
        return cls(spawn, ["env", tests, sys.executable, _HERE / "inside_history.py"])

    @classmethod
    def forked(cls, module: str, *flags: str | Path, **namespaces: str) -> Driver:
        """A helper that is forked from a process that has imported the programs."""
        command = [module, *map(str, flags)]
        request = Request(
            module=module, command=command, new_session=True, longest_s=0, **namespaces
        )

        def fork(stdin: int, stdout: int) -> Forked:
            return shared(MODULES).fork(request, stdin=stdin, stdout=stdout, stderr=_STDERR)

        return cls(lambda _argv, **_: Piped(fork), ())

    @property
    def pid(self) -> int:
        """The helper's process id."""
        return self._process.pid

    def call(self, **asked: Any) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises:
            BenchError: the request failed.
        """
        self.begin(**asked)
        return self.finish()

    def begin(self, **asked: Any) -> None:
        """Send a request; `finish` must follow."""
        if self._process.stdin is None:
            raise BenchError("the helper process has no input")
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """The answer to the request of `begin`.

        Raises:
            BenchError: the request failed.
        """
        return self._hear()

    def run(self, argv: Sequence[str | Path], **more: Any) -> dict[str, Any]:
        """Run a program inside, which must succeed; with `out=` it is monitored
        (`inside.watch`)."""
        do = "watch" if "out" in more else "run"
        done = self.call(do=do, argv=[str(each) for each in argv], **more)
        if done["status"]:
            raise BenchError(f"{argv[0]} ended with {done['status']}: {done['stderr'][-2000:]}")
        return done

    def close(self) -> None:
        """End the helper."""
        self._process.stop()

    def _hear(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise BenchError(f"the helper process ended with {self._process.wait()}")
        heard: dict[str, Any] = json.loads(line)
        if "error" in heard:
            raise BenchError(heard["error"])
        return heard
