"""Programs forked from a process that has imported them: their imports take longer than most tests.

    with Server("colotrace_agent.main") as server:
        request = Request(module="colotrace_agent.main", command=["colotrace-agent", "--version"])
        program = server.fork(request, stdin=stdin, stdout=stdout, stderr=stderr)
        assert program.wait() == 0

`Captured` does the same with one server for each set of modules, and captures the output.
"""

from forked.piped import Piped
from forked.process import Forked
from forked.run import Captured, shared
from forked.server import Request, Server, Stream

__all__ = ["Captured", "Forked", "Piped", "Request", "Server", "Stream", "shared"]
