"""This project's programs, forked from one process that has imported all of them.

Importing takes most of a program's start, and the tests start hundreds. Isolation from the working
directory, which comes before the imports, is shown by tests/packaging.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from forked import Forked, Request, Stream, shared

_MAIN = {
    "colotrace": "colotrace_cli.__main__",
    "colotrace-agent": "colotrace_agent.__main__",
    "colotrace-coordinator": "colotrace_coordinator.__main__",
    "host_flows": "lab.host_flows",
}
# What they import only when they need it.
_LATER = (
    "colotrace_agent.main",
    "colotrace_agent.commands.bulk",
    "colotrace_agent.commands.check",
    "colotrace_agent.commands.preload",
    "colotrace_agent.commands.run",
    "colotrace_agent.commands.trace",
    "colotrace_agent.link.mqtt",
    "colotrace_agent.link.pins",
    "colotrace_proto.logs",
    "colotrace_cli.api.pages",
    "colotrace_cli.changes",
    "colotrace_cli.guarding",
    "colotrace_cli.main",
    "colotrace_cli.printed",
    "colotrace_cli.printing",
    "colotrace_cli.runs",
    "colotrace_cli.views.difference",
    "colotrace_cli.views.fleet",
    "colotrace_cli.views.measurements",
    "colotrace_cli.views.paths",
    "colotrace_coordinator.main",
    "colotrace_coordinator.links.mqtt.link",
    "colotrace_coordinator.serving",
    "aiosqlite",
    "alembic.command",
    "concurrent.futures.thread",
    "encodings.idna",
    "httptools",
    "idna.uts46data",
    "pydantic.v1",
    "uvicorn.protocols.http.flow_control",
)
MODULES = (*_MAIN.values(), *_LATER)
"""What the process has imported."""


def start(
    argv: Sequence[str | Path],
    *,
    network: str | Path = "",
    user: str | Path = "",
    resolv_conf: str | Path = "",
    env: dict[str, str],
    stdin: Stream | None = None,
    stdout: Stream,
    stderr: Stream,
) -> Forked:
    """Start one; `env` is all its environment. Without `stdin` its input is empty.

    `network` and `user` are files of the namespaces to enter, `resolv_conf` a file to find at
    /etc/resolv.conf. Where they are empty, it has the caller's own.
    """
    words = [str(word) for word in argv]
    request = Request(
        module=_MAIN[Path(words[0]).name],
        command=words,
        environment=env,
        network=str(network),
        user=str(user),
        resolv_conf=str(resolv_conf),
        new_session=True,
        longest_s=0,
    )
    with Path(os.devnull).open("rb") as nothing:
        given = nothing if stdin is None else stdin
        return shared(MODULES).fork(request, stdin=given, stdout=stdout, stderr=stderr)
