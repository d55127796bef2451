"""Programs forked from a process that has imported them: their imports take longer than most tests.

    with Server("colotrace_agent.main") as server:
        program = server.fork("colotrace_agent.main", command=["colotrace-agent", "--version"])
        assert program.wait() == 0

`run` does the same with one server for each set of modules, and captures the output.
"""

from forked.process import Forked
from forked.run import Captured
from forked.server import Request, Server, Stream

__all__ = ["Captured", "Forked", "Request", "Server", "Stream"]
