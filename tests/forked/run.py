"""A forked function with its output captured."""

import atexit
import functools
import os
import tempfile
from typing import Self

from forked.server import Request, Server


class Captured:
    """The main function of a module, its output captured."""

    def __init__(self, request: Request, *, among: tuple[str, ...]) -> None:
        """`among` names the modules of the server, that of the request among them."""
        stdin, self._stdin = os.pipe()
        out, stdout = os.pipe()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.stdout = os.fdopen(out)
        self._process = shared(among).fork(request, stdin=stdin, stdout=stdout, stderr=self._stderr)
        self.pid = self._process.pid
        os.close(stdin)
        os.close(stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.finish()
        self.stdout.close()
        self._stderr.close()

    def finish(self) -> tuple[int, str, str]:
        """End its input; its exit code, and the rest of its output and its error output."""
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
        out = self.stdout.read()
        code = self._process.wait()
        self._stderr.seek(0)
        return code, out, self._stderr.read().decode()


@functools.cache
def shared(modules: tuple[str, ...]) -> Server:
    """This process's one server of these modules."""
    # Before numpy is imported, as the programs do it.
    server = Server(*modules, environment={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    atexit.register(server.close)
    return server
